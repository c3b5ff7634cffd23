"""Records of messages as the OpenAI API, TRL and most data sets on the hubs have them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from tunesmith import DataError, hookimpl, plugin
from tunesmith.types import Message, Row
from tunesmith_library_formats import (
    ANYTHING,
    BESIDE,
    CONVERSATION,
    Columns,
    Fields,
    Record,
    convert,
    finish,
    first_message,
    label_of,
    labelled,
    parse_answer,
    parse_messages,
    shorten,
)

_ASKED = ("prompt", "completion", "chosen", "rejected")
_CONVERSATIONS = ("messages", *_ASKED)
SHAPE = Fields({**dict.fromkeys(_CONVERSATIONS, CONVERSATION), "label": ANYTHING, **BESIDE})


@plugin
class OpenAI:
    """Messages with `role` and `content`, tool calls, reasoning and weights; TRL's conversational preferences.

    A record is one of `messages`; `messages`+`label`; `prompt`+`chosen`+`rejected`, also with `messages` for a prompt,
    or `chosen`+`rejected` that begin alike; `prompt`+`completion`, with `label` or without; OpenAI's
    `input`+`preferred_output`+`non_preferred_output`; `prompt` alone. Beside it `tools`, `images`, `videos`, `audios`,
    `system`.
    """

    reads: ClassVar[str] = (
        "messages; prompt, completion; prompt, chosen, rejected; messages, chosen, rejected; chosen, rejected; prompt"
    )

    @staticmethod
    def looks_like(record: Record) -> bool:
        """Whether there are messages with roles, or TRL's columns; a `prompt` beside a `text` says too little."""
        if "preferred_output" in record:
            return "non_preferred_output" in record
        if "messages" in record:
            return _is_conversation(record["messages"])
        if {"chosen", "rejected"} <= record.keys():
            answers = (record["chosen"], record["rejected"])
            texts = any(isinstance(answer, str) for answer in answers)
            return all(map(_is_answer, answers)) and ("prompt" in record or not texts)
        if {"prompt", "completion"} <= record.keys():
            return True
        prompt = record.get("prompt")
        return prompt is not None and "text" not in record and _is_answer(prompt)

    @hookimpl
    def to_rows(self, records: Iterable[Record], columns: Mapping[str, str]) -> Iterator[Row]:
        where = Columns("openai", SHAPE.fields, columns, {"kto_tag": "label"}, needed=("messages",))
        return convert(records, partial(_row, where=where), SHAPE, where)


def _is_conversation(value: Any) -> bool:
    """Whether a value can be messages, as far as the first one tells."""
    first = first_message(value)
    return first is None or ("role" in first and ("content" in first or "tool_calls" in first))


def _is_answer(value: Any) -> bool:
    return isinstance(value, str) or _is_conversation(value)


def _row(record: Record, where: Columns) -> Row:
    if "preferred_output" in record:
        record = _flatten(record)
    get = partial(where.get, record)
    label = label_of(record, where)
    if get("chosen") is not None and get("rejected") is not None:
        row = _preference(record, where)
    elif get("completion") is not None and where.of("prompt") in record:
        row = _completion(_question(get("prompt")), parse_answer(get("completion")), label)
    elif get("messages") is None and get("prompt") is not None:
        row = {"prompt": _question(get("prompt"))}
    elif get("messages") is None and any(where.of(name) in record for name in _ASKED):
        row = {"prompt": _unanswered(record, where)}
    else:
        messages = parse_messages(where.need(record, "messages")[0])
        row = {"messages": messages} if label is None else labelled(messages, label)
    return finish(row, record, where)


def _flatten(record: Record) -> dict[str, Any]:
    """OpenAI's preference format in TRL's names."""
    asked = record.get("input") or {}
    if not isinstance(asked, Mapping):
        raise DataError(f"`input` must be a mapping with messages, found {shorten(asked)}")
    made = {name: asked[key] for name, key in (("prompt", "messages"), ("tools", "tools")) if key in asked}
    made |= {"chosen": record["preferred_output"], "rejected": record.get("non_preferred_output")}
    return {**{name: value for name, value in record.items() if name not in SHAPE.fields}, **made}


def _unanswered(record: Record, where: Columns) -> list[Message]:
    """What is asked where an answer is null: the other one of a pair may say it. Raises: DataError."""
    if where.of("completion") in record:
        where.need(record, "prompt", "completion")
    if where.of("prompt") not in record:
        where.need(record, "chosen", "rejected")
    for answer in (where.get(record, "chosen"), where.get(record, "rejected")):
        asked = [] if answer is None else parse_answer(answer)[:-1]
        if asked:
            return asked
    null = [f"`{where.of(name)}`" for name in _ASKED if record.get(where.of(name), "") is None]
    raise DataError(f"{' and '.join(null)} must be text or messages, found null")


def _question(prompt: Any) -> list[Message]:
    if prompt is None:  # as an empty question, which stages count
        return [{"role": "user", "content": ""}]
    is_text = isinstance(prompt, str) and not prompt.lstrip().startswith("[{")
    return [{"role": "user", "content": prompt}] if is_text else parse_messages(prompt)


def _preference(record: Record, where: Columns) -> Row:
    better, worse = (parse_answer(where.get(record, name)) for name in ("chosen", "rejected"))
    common, prompt = _common_start(better, worse), where.get(record, "prompt")
    if prompt is None or (common and isinstance(prompt, str)):
        _need_same_question(better, worse, common)
    if common and (prompt is None or isinstance(prompt, str)):
        return {"prompt": better[:common], "chosen": better[common:], "rejected": worse[common:]}
    if where.of("prompt") not in record and where.get(record, "messages") is not None:
        asked = parse_messages(where.get(record, "messages"))
        if asked[-1]["role"] == "assistant":
            raise DataError("`messages` must end with what `chosen` and `rejected` answer, found an answer")
        return {"prompt": asked, "chosen": better, "rejected": worse}
    prompt, *_ = where.need(record, "prompt", "chosen", "rejected")
    return {"prompt": _question(prompt), "chosen": better, "rejected": worse}


def _common_start(better: Sequence[Message], worse: Sequence[Message]) -> int:
    """How many messages both conversations begin with, leaving each at least one answer."""
    limit = min(len(better), len(worse)) - 1
    return next((index for index in range(limit) if better[index] != worse[index]), max(limit, 0))


def _need_same_question(better: Sequence[Message], worse: Sequence[Message], common: int) -> None:
    """Raises: DataError for two conversations that answer different questions, or do not answer the one they have."""
    first = (better[common], worse[common])
    if any(message["role"] == "user" for message in better[:common]) or "user" not in [said["role"] for said in first]:
        return
    if first[0] == first[1]:
        without = " and ".join(
            f"`{name}`" for name, said in (("chosen", better), ("rejected", worse)) if len(said) == common + 1
        )
        raise DataError(f"{without} must end with an answer, found {_in_words(first[0])}")
    asked = f"must begin with the same turns, found {_in_words(first[0])}, and {_in_words(first[1])}"
    raise DataError(f"message {common}: `chosen` and `rejected` {asked}; or say in `prompt` what they answer")


def _in_words(message: Message) -> str:
    return f"{message['role']}: {shorten(message['content'])}"


def _completion(prompt: list[Message], completion: list[Message], label: bool | None) -> Row:
    if label is not None:
        return {"prompt": prompt, "completion": completion, "label": label}
    asked = [{**message, "weight": 0.0} if message["role"] == "assistant" else message for message in prompt]
    return {"messages": [*asked, *completion]}
