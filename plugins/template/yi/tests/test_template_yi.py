"""The Yi templates against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_yi import Yi, Yi15, YiCoder


class TestYi(TemplateSuite):
    plugin = Yi


class TestYi15(TemplateSuite):
    plugin = Yi15


class TestYiCoder(TemplateSuite):
    plugin = YiCoder
