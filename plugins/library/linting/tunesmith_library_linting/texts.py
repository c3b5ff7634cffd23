"""The texts of a canonical row: what was asked, what was answered, and all of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tunesmith.types import Message, Row

CONVERSATIONS = ("messages", "prompt", "chosen", "rejected", "completion")
"""The columns that may hold messages."""
ANSWERS = ("chosen", "rejected", "completion")
"""Those of them whose messages are answers to `prompt`."""


def text_of(message: Mapping[str, Any]) -> str:
    """What a message says, its media left out."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text") or "") for part in content if part.get("type") == "text")


def conversations(row: Row) -> dict[str, list[Message]]:
    """The columns of a row that hold messages."""
    return {name: row[name] for name in CONVERSATIONS if isinstance(row.get(name), list)}


def messages_of(row: Row) -> Iterator[Message]:
    """All messages, column by column."""
    for messages in conversations(row).values():
        yield from messages


def threads(row: Row) -> dict[str, list[Message]]:
    """Whole conversations by the column that ends them: that of `messages`, or of the prompt with each answer."""
    found = conversations(row)
    prompt = found.get("prompt", [])
    made = {name: [*prompt, *found[name]] for name in ANSWERS if name in found}
    if "messages" in found:
        made["messages"] = found["messages"]
    return made or ({"prompt": prompt} if prompt else {})


def answers(row: Row) -> list[str]:
    """What the model is to say, one text for each answer; the text of a row without messages."""
    if isinstance(row.get("text"), str):
        return [row["text"]]
    found = conversations(row)
    given = [message for name in ("messages", *ANSWERS) for message in found.get(name, [])]
    return [text_of(message) for message in given if message["role"] == "assistant"]


def asked(row: Row) -> str:
    """The last question; "" where there is none."""
    found = conversations(row)
    questions = [text_of(m) for name in ("messages", "prompt") for m in found.get(name, []) if m["role"] == "user"]
    return questions[-1] if questions else ""


def whole(row: Row) -> str:
    """All that a row says beside its system message, which many rows of a set share."""
    if isinstance(row.get("text"), str):
        return str(row["text"])
    said = [message for message in messages_of(row) if message["role"] != "system"]
    calls = [str(message["tool_calls"]) for message in said if message.get("tool_calls")]
    return "\n".join([*(text_of(message) for message in said), *calls])


def everything(value: Any) -> Iterator[str]:
    """Every text in a record, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from everything(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from everything(item)
