"""The KAT and Keye-VL templates against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_kwai import Kat, KeyeVL, KeyeVL15


class TestKat(TemplateSuite):
    plugin = Kat


class TestKeyeVL(TemplateSuite):
    plugin = KeyeVL


class TestKeyeVL15(TemplateSuite):
    plugin = KeyeVL15
