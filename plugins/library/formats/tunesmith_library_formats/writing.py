"""Canonical rows as records of the formats that others read: the way back from `to_rows`.

A format that is installed may have `to_record(row)` itself. What a shape has no place for is counted, see `tally`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tunesmith import DataError
from tunesmith.types import Message, Row

from .rows import MEDIA
from .tally import count

ToRecord = Callable[[Row], dict[str, Any]]
"""A row as a record. Raises: DataError where the format has no place for such a row."""

_BESIDE = ("tools", "enable_thinking", "weight", *MEDIA)
_SPEAKERS = {"user": "human", "assistant": "gpt", "tool": "observation"}


def to_text(row: Row) -> dict[str, Any]:
    """`text`. Raises: DataError for a conversation, whose text depends on a template."""
    if not isinstance(row.get("text"), str):
        raise DataError("a conversation has no text before a template gives it one")
    return {"text": row["text"]}


def to_openai(row: Row) -> dict[str, Any]:
    """The canonical columns, with the arguments of calls as JSON text. Raises: DataError for plain text."""
    _refuse_text(row)
    made: dict[str, Any] = {}
    for name, value in row.items():
        is_messages = name in ("messages", "prompt", "chosen", "rejected", "completion") and isinstance(value, list)
        made[name] = [_openai_message(message) for message in value] if is_messages else value
    return made


def to_sharegpt(row: Row) -> dict[str, Any]:
    """`conversations` of `from` and `value`, `system`, `tools` as JSON text, `chosen` and `rejected`, `kto_tag`.

    Raises: DataError for plain text, and for an answer of several messages beside another.
    """
    _refuse_text(row)
    system, messages = _apart(row)
    made: dict[str, Any] = {"conversations": [turn for message in messages for turn in _turns(message)]}
    for name in ("chosen", "rejected"):
        if name in row:
            made[name] = _turn(_only(row[name], name))
    return _finished(made, row, system)


def to_alpaca(row: Row) -> dict[str, Any]:
    """`instruction` and `output`, earlier turns as pairs in `history`, `system`, `chosen` and `rejected`, `kto_tag`.

    Raises: DataError for plain text, calls, and conversations that are no pairs of question and answer.
    """
    _refuse_text(row)
    system, messages = _apart(row)
    paired = "chosen" in row
    asks_only = not paired and len(messages) % 2 == 1
    expected = ["user", "assistant"] * (len(messages) // 2 + 1)
    if (
        [m["role"] for m in messages] != expected[: len(messages)]
        or not messages
        or (paired and len(messages) % 2 == 0)
    ):
        raise DataError("Alpaca's records are questions and answers by turns")
    texts = [_plain(message) for message in messages]
    answered = len(texts) - (1 if paired or asks_only else 2)
    made: dict[str, Any] = {"instruction": texts[answered], "input": ""}
    if paired:
        made |= {name: _plain(_only(row[name], name)) for name in ("chosen", "rejected")}
    elif not asks_only:
        made["output"] = texts[-1]
    if answered:
        made["history"] = [[texts[index], texts[index + 1]] for index in range(0, answered, 2)]
    return _finished(made, row, system)


WRITERS: Mapping[str, ToRecord] = {
    "alpaca": to_alpaca,
    "openai": to_openai,
    "sharegpt": to_sharegpt,
    "text": to_text,
}
"""By the names of the project's formats, whether they are installed or not."""


def _refuse_text(row: Row) -> None:
    if "text" in row and not any(name in row for name in ("messages", "prompt")):
        raise DataError("a plain text is no conversation; only the format text has a place for it")


def _apart(row: Row) -> tuple[str, list[Message]]:
    """The system message, and those of the conversation; of a labelled row with its answer."""
    messages = list(row.get("messages") or [*row.get("prompt", []), *row.get("completion", [])])
    if messages and messages[0]["role"] == "system" and isinstance(messages[0]["content"], str):
        return messages[0]["content"], messages[1:]
    return "", messages


def _finished(made: dict[str, Any], row: Row, system: str) -> dict[str, Any]:
    made |= {"system": system} if system else {}
    made |= {"kto_tag": row["label"]} if isinstance(row.get("label"), bool) else {}
    made |= {name: row[name] for name in _BESIDE if name in row}
    if "tools" in made:
        made["tools"] = json.dumps([tool.get("function", tool) for tool in made["tools"]], ensure_ascii=False)
    return made


def _openai_message(message: Message) -> dict[str, Any]:
    made = dict(message)
    if "tool_calls" in made:
        made["tool_calls"] = [
            {**call, "function": {**call["function"], "arguments": _json(call["function"]["arguments"])}}
            for call in made["tool_calls"]
        ]
    if "reasoning" in made:
        made["reasoning_content"] = made.pop("reasoning")
    return made


def _turns(message: Message) -> list[dict[str, Any]]:
    """A message as turns: what it says, then what it calls."""
    calls = [call["function"] for call in message.get("tool_calls") or []]
    said = [_turn({**message, "tool_calls": None})] if message["content"] or not calls else []
    if calls:
        called = calls if len(calls) > 1 else calls[0]
        said.append({"from": "function_call", "value": _json(called)})
    return said


def _turn(message: Message) -> dict[str, Any]:
    speaker = _SPEAKERS.get(message["role"])
    if speaker is None:
        raise DataError(f"a message of {message['role']} stands inside of the conversation, where ShareGPT has none")
    return {"from": speaker, "value": _plain(message)}


def _plain(message: Message) -> str:
    """What a message says. Raises: DataError for calls and typed parts."""
    if message.get("tool_calls"):
        raise DataError("a call of a tool has no place there")
    content = message["content"]
    if not isinstance(content, str):
        raise DataError("typed parts have no place there")
    for name in ("reasoning", "weight", "tool_call_id", "name"):
        if message.get(name) is not None:
            count(f"have messages with `{name}`, which the format has no place for")
    return content


def _only(messages: Sequence[Message], column: str) -> Message:
    if len(messages) != 1:
        raise DataError(f"`{column}` has {len(messages)} messages, where the format has one")
    return messages[0]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
