"""The MiniMax templates against their official renderings."""

from tunesmith_library_chat.declarations import declared
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
    tool = {"properties": {"a": {"type": "string"}, "b": {"type": "array"}, "c": {"type": "object"}}}
    types = declared([{"name": "f", "parameters": tool}])
    (call,), end = read_nested(body, types)
    assert (call.name, call.arguments) == ("f", {"a": "1", "b": [{"key-a": "val-a", "key-b": 2}]})
    assert not body[end:].strip() and read_nested(body + "and more", types) == ([call], end)
    assert read_nested(body + body[: body.index("val-a")], types) == ([call], end)
    empty = f'{mark}<invoke name="f">{mark}<a>{mark}</a>{mark}<b>{mark}</b>{mark}<c>{mark}</c>{mark}</invoke>'
    (call,), _ = read_nested(empty, types)
    assert call.arguments == {"a": "", "b": [], "c": {}}


def test_nested_arguments_have_their_declared_types() -> None:
    """However deep; an element within another of its name ends where that one does."""
    mark = "]<]minimax[>["

    def element(name: str, inside: str) -> str:
        return f"{mark}<{name}>{inside}{mark}</{name}>"

    text = {"type": "string"}
    place = {"type": "object", "properties": {"place": text, "item": text, "more": {"type": "array", "items": text}}}
    types = declared([{"name": "f", "parameters": {"properties": {"place": place}}}])
    inside = element("place", "1") + element("item", "true") + element("more", element("item", "2"))
    (call,), _ = read_nested(f'{mark}<invoke name="f">{element("place", inside)}{mark}</invoke>', types)
    assert call.arguments == {"place": {"place": "1", "item": "true", "more": ["2"]}}
