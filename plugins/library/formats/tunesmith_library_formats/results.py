"""Results of several tools that stand in one message, as a list with the ids of their calls: a message for each.

Templates pair results with calls, by their ids or by their order, and take a list for the result of one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.types import Message, Row

_CONVERSATIONS = ("messages", "prompt", "completion", "chosen", "rejected")


def with_single_results(row: Row) -> Row:
    """The row with a message for each result; the same row where no message holds several."""
    changed = {name: _apart(row[name]) for name in _CONVERSATIONS if isinstance(row.get(name), list)}
    return row | {name: messages for name, messages in changed.items() if messages is not row[name]}


def _apart(messages: list[Message]) -> list[Message]:
    made: list[Message] = []
    found = False
    for message in messages:
        results = _results(message) if message.get("role") == "tool" else None
        if results is None:
            made.append(message)
            continue
        found = True
        if made and made[-1].get("tool_calls"):
            made[-1] = {**made[-1], "tool_calls": _identified(made[-1]["tool_calls"], results)}
        beside = {name: value for name, value in message.items() if name == "weight"}
        made += [{"role": "tool", **result, **beside} for result in results]
    return made if found else messages


def _results(message: Message) -> list[dict[str, Any]] | None:
    """What stands in a message as a list of results, each with the id of its call; None in any other."""
    content = message.get("content")
    if not isinstance(content, str) or not content.lstrip().startswith("[") or "tool_call_id" not in content:
        return None
    try:
        items = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not items or not all(isinstance(item, Mapping) and {"tool_call_id", "content"} <= item.keys() for item in items):
        return None
    if any(item.keys() - {"tool_call_id", "content", "name", "role"} for item in items):
        return None
    return [_result(item) for item in items]


def _result(item: Mapping[str, Any]) -> dict[str, Any]:
    content = item["content"]
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    named = {"name": str(item["name"])} if item.get("name") is not None else {}
    return {"content": text, "tool_call_id": str(item["tool_call_id"]), **named}


def _identified(calls: Sequence[Mapping[str, Any]], results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Calls with the ids of their results, where they have none and the results are theirs, one by one."""
    names = [call["function"]["name"] for call in calls]
    theirs = len(calls) == len(results) and all(
        result.get("name", name) == name for name, result in zip(names, results, strict=True)
    )
    if not theirs or any("id" in call for call in calls):
        return [dict(call) for call in calls]
    return [{**call, "id": result["tool_call_id"]} for call, result in zip(calls, results, strict=True)]
