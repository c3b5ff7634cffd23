"""The Hermes templates against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_hermes import Hermes, OpenHermes


class TestHermes(TemplateSuite):
    plugin = Hermes
    expected_differences = {
        "call_beside": "the official template leaves out the text beside calls; ours writes it before them"
    }


class TestOpenHermes(TemplateSuite):
    plugin = OpenHermes
