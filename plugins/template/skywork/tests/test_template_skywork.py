"""The Skywork templates against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_skywork import SkyworkO1, SkyworkOR1


class TestSkyworkO1(TemplateSuite):
    plugin = SkyworkO1


class TestSkyworkOR1(TemplateSuite):
    plugin = SkyworkOR1
