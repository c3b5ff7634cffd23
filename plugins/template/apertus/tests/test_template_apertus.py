"""The templates of Apertus against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_apertus import Apertus


class TestApertus(TemplateSuite):
    plugin = Apertus
    expected_differences = {
        "single_answer": "the last answer is ended too, for a model to learn to end",
        "multi": "the last answer is ended too, for a model to learn to end",
        "system_multi": "the last answer is ended too, for a model to learn to end",
        "call": "the last answer is ended too, for a model to learn to end",
        "parallel": "the last answer is ended too, for a model to learn to end",
        "thought_off_answer": "the last answer is ended too, for a model to learn to end",
    }
