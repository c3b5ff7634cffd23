"""The templates of Command and Aya against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_cohere import Cohere, CommandA, TinyAya


class TestCohere(TemplateSuite):
    plugin = Cohere
    expected_differences = {
        "call": "a last answer stands behind the instruction to act, which officially follows it",
        "call_last": "a last answer stands behind the instruction to act, which officially follows it",
        "parallel": "a last answer stands behind the instruction to act, which officially follows it",
    }


class TestCommandA(TemplateSuite):
    plugin = CommandA
    expected_differences = {
        "call_beside": "the text beside a call stays, which the official template drops",
    }


class TestTinyAya(TemplateSuite):
    plugin = TinyAya
