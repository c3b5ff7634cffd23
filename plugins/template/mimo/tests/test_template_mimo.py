"""The MiMo templates against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_mimo import MiMo, MiMoV2, MiMoVL


class TestMiMo(TemplateSuite):
    plugin = MiMo


class TestMiMoVL(TemplateSuite):
    plugin = MiMoVL


class TestMiMoV2(TemplateSuite):
    plugin = MiMoV2
