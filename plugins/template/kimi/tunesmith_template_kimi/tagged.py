"""Calls of Kimi-K3: each call and each of its arguments between tags with attributes."""

from __future__ import annotations

import html
import json
import re
from typing import Any

from tunesmith_library_chat.calls import CallFormat
from tunesmith_library_chat.shapes import Call, Types, whole

_CALL = re.compile(
    r'<\|open\|>call tool="(?P<name>[^"]*)"[^<]*<\|sep\|>(?P<body>.*?)<\|close\|>call<\|sep\|>', re.DOTALL
)
_ARGUMENT = re.compile(
    r'<\|open\|>argument key="(?P<key>[^"]*)" type="(?P<type>\w+)"<\|sep\|>(?P<value>.*?)<\|close\|>argument<\|sep\|>',
    re.DOTALL,
)
_OBJECT = re.compile(r"\s*<\|open\|>json[^<]*<\|sep\|>(?P<value>.*?)<\|close\|>json<\|sep\|>\s*", re.DOTALL)


def read_tagged(body: str, types: Types) -> list[Call] | None:
    """The calls in a block; None where it is no whole and right block."""
    found = list(_CALL.finditer(body))
    if not found or _CALL.sub("", body).strip():
        return None
    calls = [_call(html.unescape(match["name"]), match["body"]) for match in found]
    right = [call for call in calls if call is not None]
    return right if len(right) == len(calls) else None


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
    whole(read_tagged),
    ("<|open|>tools<|sep|>",),
    ("<|close|>tools<|sep|>",),
    skips=("<|open|>response<|sep|>", "<|close|>response<|sep|>", "<|close|>message<|sep|>"),
    inner=("<|open|>", "<|close|>", "<|sep|>"),
)
