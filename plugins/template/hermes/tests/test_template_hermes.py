"""The Hermes templates against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_hermes import Hermes, OpenHermes


class TestHermes(TemplateSuite):
    plugin = Hermes


class TestOpenHermes(TemplateSuite):
    plugin = OpenHermes
