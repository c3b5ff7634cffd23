"""The templates of Granite against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_granite import Granite3, Granite3Vision, Granite4, Granite30, Granite41, GraniteCode


class TestGranite3(TemplateSuite):
    plugin = Granite3


class TestGranite30(TemplateSuite):
    plugin = Granite30


class TestGranite4(TemplateSuite):
    plugin = Granite4


class TestGranite41(TemplateSuite):
    plugin = Granite41


class TestGraniteCode(TemplateSuite):
    plugin = GraniteCode
    expected_differences = {
        "single_answer": "ours ends an answer, which the official text does not, so that it is learnt",
        "multi": "ours ends an answer, which the official text does not, so that it is learnt",
        "multi_prompt": "ours ends an answer, which the official text does not, so that it is learnt",
        "system_multi": "ours ends an answer, which the official text does not, so that it is learnt",
        "white": "ours ends an answer, which the official text does not, so that it is learnt",
        "thought_off_answer": "ours ends an answer, which the official text does not, so that it is learnt",
    }


class TestGranite3Vision(TemplateSuite):
    plugin = Granite3Vision
