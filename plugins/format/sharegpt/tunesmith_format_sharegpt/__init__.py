"""Records of conversations as ShareGPT exported them: `conversations` of turns with `from` and `value`.

`conversation` of turns whose keys are the speakers, as MOSS and XTuner have them, are read too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from tunesmith import DataError, hookimpl, plugin
from tunesmith.errors import choices
from tunesmith.types import Message, Row
from tunesmith_library_formats import (
    ANYTHING,
    BESIDE,
    MAPPING,
    Columns,
    Fields,
    JsonText,
    Lacking,
    ListOf,
    Record,
    Shape,
    convert,
    count,
    finish,
    first_message,
    label_of,
    labelled,
    message_weight,
    one_of,
    parse_json,
    parse_message,
    parse_tool_calls,
    shorten,
)

FUNCTION_CALL = "function_call"
ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "system": "system",
    "observation": "tool",
    "tool": "tool",
    "function_call": FUNCTION_CALL,
}
TAGS = {
    "user_tag": "user",
    "assistant_tag": "assistant",
    "system_tag": "system",
    "observation_tag": "tool",
    "function_tag": FUNCTION_CALL,
}
SPEAKERS = ROLES | {"input": "user", "output": "assistant", "bot": "assistant"}
SPEAKERS |= {name.capitalize(): role for name, role in SPEAKERS.items()}
"""Keys of a turn that holds what each has said: `{"human": …, "assistant": …}`."""
_ORDER = ("system", "user", "tool", FUNCTION_CALL, "assistant")  # of what one such turn holds: Arrow may sort its keys
_CONVERSATIONS = ("conversations", "conversation", "messages")
_ALIASES = {**dict.fromkeys(_CONVERSATIONS, "conversations"), "kto_tag": "label"}
_ANSWER = JsonText(one_of(MAPPING, ListOf(MAPPING)))
_OWN: dict[str, Shape] = {
    "conversations": JsonText(ListOf(MAPPING)),
    "chosen": _ANSWER,
    "rejected": _ANSWER,
    "label": ANYTHING,
}
SHAPE = Fields({**_OWN, **BESIDE})
FIELDS = (*SHAPE.fields, "role_tag", "content_tag", *TAGS)
_THOUGHT = re.compile(r"\s*<think>(.*?)</think>\s*", re.DOTALL)


@plugin
class ShareGPT:
    """`conversations` (or `conversation`, `messages`) of turns by human, gpt, system, function_call and observation.

    Turns are `{"human": …, "assistant": …}` (also `input`, `output`, `system`), or hold `from` and `value`, or `role`
    and `content`; other names are given as tags: `role_tag`, `content_tag`, `user_tag`, `assistant_tag`, `system_tag`,
    `observation_tag`, `function_tag`. A function call is JSON of `{"name", "arguments"}`, or of a list of them.
    `chosen`+`rejected` make a preference, a true or false `label` (or `kto_tag`) labels the last answer. Beside it
    `system`, `tools` (JSON), `images`, `videos`, `audios`.
    """

    reads: ClassVar[str] = "conversations; conversation"

    @staticmethod
    def looks_like(record: Record) -> bool:
        """Whether turns have `from` and `value`; in `conversation(s)` also `role` and `content`, or speakers."""
        name = next((name for name in _CONVERSATIONS if name in record), None)
        if name is None:
            return False
        if {"role_tag", "content_tag", *TAGS} & record.keys():  # the user says what is in the turns
            return True
        turn = first_message(record[name])
        if turn is not None and {"from", "value"} <= turn.keys():
            return True
        if name == "messages":
            return False
        return turn is None or {"role", "content"} <= turn.keys() or _speaks(turn, SPEAKERS)

    @hookimpl
    def to_rows(self, records: Iterable[Record], columns: Mapping[str, str]) -> Iterator[Row]:
        where = Columns("sharegpt", FIELDS, columns, _ALIASES, needed=("conversations",))
        roles = ROLES | {where.of(tag): role for tag, role in TAGS.items() if where.mapped(tag)}
        return convert(records, partial(_row, where=where, roles=roles), SHAPE, where)


def _row(record: Record, where: Columns, roles: Mapping[str, str]) -> Row:
    turns = where.get(record, "conversations")
    if turns is None and not where.mapped("conversations"):
        turns = next((record[name] for name in _CONVERSATIONS if record.get(name) is not None), None)
    if turns is None:
        raise where.complaint(record, ["conversations"], ["conversations"])
    messages = _conversation(turns, where, roles)
    chosen, rejected = where.get(record, "chosen"), where.get(record, "rejected")
    label = label_of(record, where)
    if chosen is not None and rejected is not None:
        answers = (_answer(value, where, roles) for value in (chosen, rejected))
        row: Row = {"prompt": messages, **dict(zip(("chosen", "rejected"), answers, strict=True))}
    elif label is not None:
        row = labelled(messages, label)
    elif any(message["role"] == "assistant" for message in messages) and not _lacks_one(chosen, rejected, messages):
        row = {"messages": messages}
    else:
        row = {"prompt": messages}
    return finish(row, record, where)


def _lacks_one(chosen: Any, rejected: Any, messages: Sequence[Message]) -> bool:
    """Whether a conversation asks for a pair of answers, of which one is null: then it has none to learn from."""
    return (chosen is None) != (rejected is None) and messages[-1]["role"] != "assistant"


def _conversation(turns: Any, where: Columns, roles: Mapping[str, str]) -> list[Message]:
    turns = parse_json(turns, "the conversation")
    turns = [turns] if isinstance(turns, Mapping) else turns
    if not turns or not isinstance(turns, list):
        raise DataError(f"a conversation must be a list of turns, found {shorten(turns)}")
    messages: list[Message] = []
    for index, turn in enumerate(turns):
        try:
            said = [_turn(part, where, roles) for part in _parts(turn, where, roles)]
        except Lacking as error:
            raise error.within(f"turn {index}") from error
        except DataError as error:
            raise DataError(f"turn {index}: {error}") from error
        for message in said:
            if _continues(message, messages):
                messages[-1] |= {key: value for key, value in message.items() if key not in ("role", "content")}
            else:
                messages.append(message)
    if not messages:
        raise DataError(f"nobody says anything in the conversation {shorten(turns)}")
    return messages


def _speaks(turn: Mapping[str, Any], speakers: Mapping[str, str]) -> bool:
    """Whether a turn's keys are speakers, with what each has said; one says something, or it is no such turn."""
    said = [turn[key] for key in turn if key in speakers]
    return any(isinstance(value, str) for value in said) and all(isinstance(value, str | None) for value in said)


def _parts(turn: Any, where: Columns, roles: Mapping[str, str]) -> list[Any]:
    """The turns that a turn holds: itself, or one for each speaker that is a key of it."""
    speakers = {**SPEAKERS, **roles}
    marks = ("from", "role", where.of("role_tag", "role"))
    if not isinstance(turn, Mapping) or any(mark in turn for mark in marks) or not speakers.keys() & turn.keys():
        return [turn]
    wrong = [key for key in turn if key in speakers and not isinstance(turn[key], str | None)]
    if wrong:
        raise DataError(f"`{wrong[0]}` must be text, found {shorten(turn[wrong[0]])}")
    beside = [key for key, value in turn.items() if key not in speakers and value is not None]
    if beside:
        count("have something beside what the speakers of a turn say, which is left aside", first=f"`{beside[0]}`")
    said = [key for key, value in turn.items() if key in speakers and value is not None]
    keys = sorted(said, key=lambda key: _ORDER.index(speakers[key]))
    role_key, content_key = where.of("role_tag", "from"), where.of("content_tag", "value")
    names = {role: name for name, role in roles.items()}
    return [{role_key: names[speakers[key]], content_key: turn[key]} for key in keys]


def _continues(message: Message, before: list[Message]) -> bool:
    """Whether a turn that only calls functions belongs to the answer right before it: text, then its calls."""
    return (
        bool(message.get("tool_calls"))
        and not message["content"]
        and bool(before)
        and before[-1]["role"] == "assistant"
        and "tool_calls" not in before[-1]
    )


def _answer(value: Any, where: Columns, roles: Mapping[str, str]) -> list[Message]:
    if isinstance(value, str):
        return [{"role": "assistant", "content": value}]
    return _conversation([value] if isinstance(value, Mapping) else value, where, roles)


def _turn(turn: Any, where: Columns, roles: Mapping[str, str]) -> Message:
    if not isinstance(turn, Mapping):
        raise DataError(f"a turn must be a mapping, found {shorten(turn)}")
    role_key = where.of("role_tag", "from" if "from" in turn else "role")
    content_key = where.of("content_tag", "value" if "value" in turn else "content")
    if role_key not in turn or (content_key not in turn and "tool_calls" not in turn):
        found = ", ".join(f"`{key}`" for key in turn) or "nothing"
        missing = [key for key in (role_key, content_key) if key not in turn]
        raise Lacking(
            f"needs `{role_key}` and `{content_key}`; found {found}", "name them by role_tag, content_tag", missing
        )
    said, content = turn[role_key], turn.get(content_key)
    role = roles.get(str(said))
    if role is None:
        raise DataError(f"unknown role {said!r}; {choices(str(said), roles)}; name it by a tag such as user_tag={said}")
    if role == FUNCTION_CALL:
        weight = message_weight(turn)
        return _function_call(content) | ({} if weight is None else {"weight": weight})
    rest = {key: value for key, value in turn.items() if key not in (role_key, content_key)}
    return parse_message({**rest, "role": role, "content": content})


def _function_call(content: Any) -> Message:
    """A turn of JSON, perhaps after a thought in `<think>` tags."""
    message: Message = {"role": "assistant", "content": ""}
    thought = _THOUGHT.match(content) if isinstance(content, str) else None
    if thought:
        message["reasoning"] = thought[1].strip()
        content = content[thought.end() :]
    return message | {"tool_calls": parse_tool_calls(content)}
