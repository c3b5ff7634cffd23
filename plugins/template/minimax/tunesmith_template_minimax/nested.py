"""Calls of MiniMax-M3: arguments as elements that nest, each tag behind the mark `]<]minimax[>[`."""

from __future__ import annotations

import json
import re
from typing import Any

from tunesmith_library_chat.calls import CallFormat
from tunesmith_library_chat.shapes import Call, Types, whole

_MARK = re.escape("]<]minimax[>[")
_INVOKE = re.compile(rf'{_MARK}<invoke name="(?P<name>[^"]+)">(?P<body>.*?){_MARK}</invoke>', re.DOTALL)
_ELEMENT = re.compile(rf"{_MARK}<(?P<key>[^<>/]+)>(?P<value>.*?){_MARK}</(?P=key)>", re.DOTALL)


def read_nested(body: str, types: Types) -> list[Call] | None:
    """The calls in a block; None where it is no whole and right block."""
    if _INVOKE.sub("", body).strip() or not _INVOKE.search(body):
        return None
    calls = []
    for found in _INVOKE.finditer(body):
        declared = types.get(found["name"], {})
        if _ELEMENT.sub("", found["body"]).strip():
            return None
        given = {item["key"]: _value(item["value"], declared.get(item["key"])) for item in _elements(found["body"])}
        calls.append(Call(found["name"], given))
    return calls


def _elements(text: str) -> list[re.Match[str]]:
    return list(_ELEMENT.finditer(text))


def _value(text: str, declared: str | None) -> Any:
    """Elements as an object, or a list where all are items; else the value itself, JSON where it is that."""
    if declared in ("array", "object") and not text.strip():
        return [] if declared == "array" else {}
    inner = _elements(text)
    if inner and not _ELEMENT.sub("", text).strip():
        values = [(item["key"], _value(item["value"], None)) for item in inner]
        return [value for _, value in values] if all(key == "item" for key, _ in values) else dict(values)
    try:
        return text if declared == "string" else json.loads(text)
    except ValueError:
        return text


MINIMAX_3 = CallFormat(
    "minimax_3",
    whole(read_nested),
    ("]<]minimax[>[<tool_call>",),
    ("]<]minimax[>[</tool_call>",),
    inner=("]<]minimax[>[",),
)
