"""Calls of Kimi-K3: each call and each of its arguments between tags with attributes."""

from __future__ import annotations

import html
import json
import re
from typing import Any

from tunesmith_library_chat.calls import CallFormat
from tunesmith_library_chat.declarations import Types
from tunesmith_library_chat.shapes import Call

_CALL = re.compile(
    r'\s*<\|open\|>call tool="(?P<name>[^"]*)"[^<]*<\|sep\|>(?P<body>.*?)<\|close\|>call<\|sep\|>', re.DOTALL
)
_ARGUMENT = re.compile(
    r'<\|open\|>argument key="(?P<key>[^"]*)" type="(?P<type>\w+)"<\|sep\|>(?P<value>.*?)<\|close\|>argument<\|sep\|>',
    re.DOTALL,
)
_OBJECT = re.compile(r"\s*<\|open\|>json[^<]*<\|sep\|>(?P<value>.*?)<\|close\|>json<\|sep\|>\s*", re.DOTALL)


def read_tagged(body: str, types: Types) -> tuple[list[Call], int]:
    """The whole and right calls that a block begins with, and where they end."""
    calls, at = [], 0
    while (found := _CALL.match(body, at)) and (call := _call(html.unescape(found["name"]), found["body"])):
        calls.append(call)
        at = found.end()
    return calls, at


def _call(name: str, body: str) -> Call | None:
    """A call whose arguments are elements, or one object; None where they are neither."""
    whole = _OBJECT.fullmatch(body)
    if whole is None and _ARGUMENT.sub("", body).strip():
        return None
    try:
        if whole:
            given = json.loads(whole["value"])
            return Call(name, given) if isinstance(given, dict) else None
        return Call(name, {html.unescape(item["key"]): _value(item) for item in _ARGUMENT.finditer(body)})
    except ValueError:
        return None


def _value(argument: re.Match[str]) -> Any:
    return argument["value"] if argument["type"] == "string" else json.loads(argument["value"])


KIMI_3 = CallFormat(
    "kimi_3",
    read_tagged,
    ("<|open|>tools<|sep|>",),
    ("<|close|>tools<|sep|>",),
    skips=("<|open|>response<|sep|>", "<|close|>response<|sep|>", "<|close|>message<|sep|>"),
    inner=("<|open|>", "<|close|>", "<|sep|>"),
)
