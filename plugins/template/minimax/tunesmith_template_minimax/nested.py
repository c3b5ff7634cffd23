"""Calls of MiniMax-M3: arguments as elements that nest, each tag behind the mark `]<]minimax[>[`."""

from __future__ import annotations

import re
from typing import Any

from tunesmith_library_chat.calls import CallFormat
from tunesmith_library_chat.declarations import NOTHING_DECLARED, Declared, Types
from tunesmith_library_chat.shapes import Call

_MARK = re.escape("]<]minimax[>[")
_INVOKE = re.compile(rf'\s*{_MARK}<invoke name="(?P<name>[^"]+)">')
_TAG = re.compile(rf"{_MARK}<(?P<close>/?)(?P<key>[^<>]+)>")


def read_nested(body: str, types: Types) -> tuple[list[Call], int]:
    """The whole and right calls that a block begins with, and where they end."""
    calls, at = [], 0
    while found := _INVOKE.match(body, at):
        declared = types.get(found["name"], NOTHING_DECLARED)
        try:
            inside, text, end = _inside(body, found.end(), "invoke", declared)
        except (ValueError, RecursionError):
            break
        if text.strip():
            break
        calls.append(Call(found["name"], dict(inside)))
        at = end
    return calls, at


def _inside(body: str, at: int, key: str, declared: Declared) -> tuple[list[tuple[str, Any]], str, int]:
    """The elements within one that is open, the text beside them, and where it ends.

    Raises: ValueError for one that is not closed.
    """
    found: list[tuple[str, Any]] = []
    text = ""
    while tag := _TAG.search(body, at):
        text += body[at : tag.start()]
        if tag["close"]:
            if tag["key"] != key:
                raise ValueError(f"{tag['key']} is closed, and {key} is open")
            return found, text, tag.end()
        item = tag["key"] == "item" and "object" not in declared.kinds
        value, at = _value(body, tag, declared.item if item else declared.inside(tag["key"]))
        found.append((tag["key"], value))
    raise ValueError(f"{key} is not closed")


def _value(body: str, opened: re.Match[str], declared: Declared) -> tuple[Any, int]:
    """What an element stands for: a list where all within are items, an object, or a bare value; and where it ends."""
    inside, text, end = _inside(body, opened.end(), opened["key"], declared)
    if not inside or text.strip() or declared.kinds == {"string"}:
        return declared.value(body[opened.end() : body.rindex("]<]minimax[>[", 0, end)]), end
    if all(key == "item" for key, _ in inside) and "object" not in declared.kinds:
        return [value for _, value in inside], end
    return dict(inside), end


MINIMAX_3 = CallFormat(
    "minimax_3",
    read_nested,
    ("]<]minimax[>[<tool_call>",),
    ("]<]minimax[>[</tool_call>",),
    inner=("]<]minimax[>[",),
)
