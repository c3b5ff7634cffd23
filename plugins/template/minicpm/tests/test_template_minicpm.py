"""The MiniCPM templates against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_minicpm import (
    MiniCPM3,
    MiniCPM4,
    MiniCPM5,
    MiniCPM52B,
    MiniCPMO,
    MiniCPMV,
    MiniCPMV25,
    MiniCPMV46,
)


class TestMiniCPM3(TemplateSuite):
    plugin = MiniCPM3


class TestMiniCPM4(TemplateSuite):
    plugin = MiniCPM4


class TestMiniCPM5(TemplateSuite):
    plugin = MiniCPM5


class TestMiniCPM52B(TemplateSuite):
    plugin = MiniCPM52B


class TestMiniCPMV(TemplateSuite):
    plugin = MiniCPMV


class TestMiniCPMV25(TemplateSuite):
    plugin = MiniCPMV25


class TestMiniCPMV46(TemplateSuite):
    plugin = MiniCPMV46


class TestMiniCPMO(TemplateSuite):
    plugin = MiniCPMO
