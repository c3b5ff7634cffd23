"""The Kimi and Moonlight templates against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_kimi import KimiK2, KimiK2Thinking, KimiK25, KimiVL, Moonlight


class TestMoonlight(TemplateSuite):
    plugin = Moonlight


class TestKimiVL(TemplateSuite):
    plugin = KimiVL


class TestKimiK2(TemplateSuite):
    plugin = KimiK2


class TestKimiK2Thinking(TemplateSuite):
    plugin = KimiK2Thinking


class TestKimiK25(TemplateSuite):
    plugin = KimiK25
