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
    expected_differences = {"thought_off_answer": "an answer to a prompt with an empty thought is written behind it"}


class TestMiniCPM52B(TemplateSuite):
    plugin = MiniCPM52B


class TestMiniCPMV(TemplateSuite):
    plugin = MiniCPMV


class TestMiniCPMV25(TemplateSuite):
    plugin = MiniCPMV25
    expected_differences = dict.fromkeys(
        ("single_answer", "multi", "system_multi", "thought_off_answer"),
        "the official template writes the head of an answer behind the last one too",
    )


class TestMiniCPMV46(TemplateSuite):
    plugin = MiniCPMV46


class TestMiniCPMO(TemplateSuite):
    plugin = MiniCPMO
