"""The templates of Solar against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_solar import Solar, SolarOpen


class TestSolar(TemplateSuite):
    plugin = Solar


class TestSolarOpen(TemplateSuite):
    plugin = SolarOpen
