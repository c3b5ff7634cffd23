"""The MiniMax templates against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_minimax import MiniMax1, MiniMax2, MiniMax21, MiniMax25, MiniMax27, MiniMaxText

_LAST = ("single_answer", "multi", "system_multi", "call", "call_last", "parallel", "thought_off_answer")
_OPENED = "an answer behind the question stands behind the <think> of the prompt that asks for it"


class TestMiniMaxText(TemplateSuite):
    plugin = MiniMaxText


class TestMiniMax1(TemplateSuite):
    plugin = MiniMax1
    expected_differences = {"call_beside": "the official template leaves text beside a call out"}


class TestMiniMax2(TemplateSuite):
    plugin = MiniMax2
    expected_differences = dict.fromkeys(_LAST, _OPENED)


class TestMiniMax21(TemplateSuite):
    plugin = MiniMax21


class TestMiniMax25(TemplateSuite):
    plugin = MiniMax25
    expected_differences = dict.fromkeys(_LAST, _OPENED)


class TestMiniMax27(TemplateSuite):
    plugin = MiniMax27
    expected_differences = dict.fromkeys(_LAST, _OPENED)
