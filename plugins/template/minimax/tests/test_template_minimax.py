"""The MiniMax templates against their official renderings."""

from tunesmith_library_testing import TemplateSuite
from tunesmith_template_minimax import MiniMax1, MiniMax2, MiniMax3, MiniMax21, MiniMax25, MiniMax27, MiniMaxText
from tunesmith_template_minimax.nested import read_nested


class TestMiniMaxText(TemplateSuite):
    plugin = MiniMaxText


class TestMiniMax1(TemplateSuite):
    plugin = MiniMax1


class TestMiniMax2(TemplateSuite):
    plugin = MiniMax2


class TestMiniMax21(TemplateSuite):
    plugin = MiniMax21


class TestMiniMax25(TemplateSuite):
    plugin = MiniMax25


class TestMiniMax27(TemplateSuite):
    plugin = MiniMax27


class TestMiniMax3(TemplateSuite):
    plugin = MiniMax3


def test_nested_arguments_are_read() -> None:
    """As the example in the official template nests them."""
    mark = "]<]minimax[>["
    item = f"{mark}<item>{mark}<key-a>val-a{mark}</key-a>{mark}<key-b>2{mark}</key-b>{mark}</item>"
    body = f'\n{mark}<invoke name="f">{mark}<a>1{mark}</a>{mark}<b>{item}{mark}</b>{mark}</invoke>\n'
    (call,) = read_nested(body, {"f": {"a": "string"}}) or []
    assert (call.name, call.arguments) == ("f", {"a": "1", "b": [{"key-a": "val-a", "key-b": 2}]})
    assert read_nested(body + "and more", {}) is None
    empty = f'{mark}<invoke name="f">{mark}<a>{mark}</a>{mark}<b>{mark}</b>{mark}<c>{mark}</c>{mark}</invoke>'
    (call,) = read_nested(empty, {"f": {"a": "string", "b": "array", "c": "object"}}) or []
    assert call.arguments == {"a": "", "b": [], "c": {}}
