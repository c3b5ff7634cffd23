"""Records of messages as the OpenAI API, TRL and most data sets on the hubs have them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from tunesmith import hookimpl, plugin
from tunesmith.types import Message, Row

from .messages import (
    MEDIA,
    as_list,
    labelled,
    parse_answer,
    parse_label,
    parse_messages,
    parse_tools,
)
from .records import Columns, Record, convert

FIELDS = ("messages", "prompt", "completion", "chosen", "rejected", "label", "system", "tools", *MEDIA)


@plugin
class OpenAI:
    """Messages with `role` and `content`, tool calls, reasoning and weights; TRL's conversational preferences.

    A record is one of `messages`; `messages`+`label`; `prompt`+`chosen`+`rejected`, or `chosen`+`rejected` that begin
    alike; `prompt`+`completion`, with `label` or without; OpenAI's `input`+`preferred_output`+`non_preferred_output`;
    `prompt` alone. Beside it `tools`, `images`, `videos`, `audios`, `system`.
    """

    @hookimpl
    def to_rows(self, records: Iterable[Record], columns: Mapping[str, str]) -> Iterator[Row]:
        where = Columns("openai", FIELDS, columns, {"kto_tag": "label"})
        return convert(records, partial(_row, where=where))


def _row(record: Record, where: Columns) -> Row:
    if "preferred_output" in record:
        record = _flatten(record)
    get = partial(where.get, record)
    label = label_of(record, where)
    if get("chosen") is not None and get("rejected") is not None:
        row = _preference(get("prompt"), get("chosen"), get("rejected"))
    elif get("completion") is not None and get("prompt") is not None:
        row = _completion(_question(get("prompt")), parse_answer(get("completion")), label)
    elif get("messages") is None and get("prompt") is not None:
        row = {"prompt": _question(get("prompt"))}
    else:
        messages = parse_messages(where.need(record, "messages")[0])
        row = {"messages": messages} if label is None else labelled(messages, label)
    return finish(row, record, where)


def label_of(record: Record, where: Columns) -> bool | None:
    """Whether the record's answer is desirable: its `label`, or `kto_tag`; None when it says nothing about that."""
    mapped = where.mapped("label")
    value = where.get(record, "label") if mapped else record.get("label", record.get("kto_tag"))
    return parse_label(value, mapped)


def finish(row: Row, record: Record, where: Columns) -> Row:
    """Add what stands beside the conversation: a system message where it has none, tools, media."""
    first = row.get("messages") or row.get("prompt") or []
    system = where.get(record, "system")
    if system and not (first and first[0]["role"] == "system"):
        first.insert(0, {"role": "system", "content": system})
    tools = parse_tools(where.get(record, "tools"))
    if tools:
        row["tools"] = tools
    return row | {field: media for field in MEDIA if (media := as_list(where.get(record, field)))}


def _flatten(record: Record) -> dict[str, Any]:
    """OpenAI's preference format in TRL's names."""
    asked = record.get("input") or {}
    made = {"prompt": asked.get("messages"), "tools": asked.get("tools")}
    return {**made, "chosen": record["preferred_output"], "rejected": record.get("non_preferred_output")}


def _question(prompt: Any) -> list[Message]:
    is_text = isinstance(prompt, str) and not prompt.lstrip().startswith("[{")
    return [{"role": "user", "content": prompt}] if is_text else parse_messages(prompt)


def _preference(prompt: Any, chosen: Any, rejected: Any) -> Row:
    better, worse = parse_answer(chosen), parse_answer(rejected)
    common = _common_start(better, worse)
    if common and (prompt is None or isinstance(prompt, str)):
        return {"prompt": better[:common], "chosen": better[common:], "rejected": worse[common:]}
    return {"prompt": _question(prompt), "chosen": better, "rejected": worse}


def _common_start(better: Sequence[Message], worse: Sequence[Message]) -> int:
    """How many messages both conversations begin with, leaving each at least one answer."""
    limit = min(len(better), len(worse)) - 1
    return next((index for index in range(limit) if better[index] != worse[index]), max(limit, 0))


def _completion(prompt: list[Message], completion: list[Message], label: bool | None) -> Row:
    if label is not None:
        return {"prompt": prompt, "completion": completion, "label": label}
    asked = [{**message, "weight": 0.0} if message["role"] == "assistant" else message for message in prompt]
    return {"messages": [*asked, *completion]}
