"""The templates of OLMo against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_olmo import Olmo, Olmo2, Olmo3, Olmo3Think, Olmo31, Olmo31Think, Olmo332BThink


class TestOlmo(TemplateSuite):
    plugin = Olmo


class TestOlmo2(TemplateSuite):
    plugin = Olmo2


class TestOlmo3(TemplateSuite):
    plugin = Olmo3


class TestOlmo31(TemplateSuite):
    plugin = Olmo31


class TestOlmo3Think(TemplateSuite):
    plugin = Olmo3Think


class TestOlmo332BThink(TemplateSuite):
    plugin = Olmo332BThink


class TestOlmo31Think(TemplateSuite):
    plugin = Olmo31Think
