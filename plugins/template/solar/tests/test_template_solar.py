"""The templates of Solar against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_solar import Solar, SolarOpen


class TestSolar(TemplateSuite):
    plugin = Solar
    expected_differences = {
        "single_answer": "ours ends an answer, which the official text does not, so that it is learnt",
        "multi": "ours ends an answer, which the official text does not, so that it is learnt",
        "multi_prompt": "ours ends an answer, which the official text does not, so that it is learnt",
        "system_multi": "ours ends an answer, which the official text does not, so that it is learnt",
        "white": "ours ends an answer, which the official text does not, so that it is learnt",
        "thought_off_answer": "ours ends an answer, which the official text does not, so that it is learnt",
    }


class TestSolarOpen(TemplateSuite):
    plugin = SolarOpen
    expected_differences = {
        "call_beside": "the text beside a call stays, which the official template drops",
    }
