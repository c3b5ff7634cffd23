"""From canonical rows to prompts and the answers that are expected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith import DataError
from tunesmith.types import Message, Row
from tunesmith_library_media.holding import stored
from tunesmith_library_media.placing import COLUMN, kind_of, rows_media

_LONGEST_PLACE = 4096  # characters; what is longer is base64
_READ = {"messages", "prompt", "chosen", "rejected", "completion", "tools", "enable_thinking", *COLUMN.values()}


@dataclass(frozen=True)
class Prompt:
    """One conversation to answer."""

    dataset: str
    messages: list[Message]
    answer: str | None  # the expected one, where the data has it
    tools: list[Any] | None
    variables: dict[str, Any]  # for the template
    media: dict[str, list[Any]] = field(default_factory=dict)  # `images`, `videos`, `audios`, in the order of the text
    expected: Message | None = None  # the expected one whole, with `tool_calls` and `reasoning`
    columns: dict[str, Any] = field(default_factory=dict)  # what else the row has

    def shown(self, hosts: Sequence[str]) -> list[Message]:
        """The messages, in which each image, video and sound is the bytes of its file.

        Args:
            hosts: from which a URL may be fetched.

        Raises: DataError for one that cannot be read.
        """
        items = {name: iter(items) for name, items in self.media.items()}

        def filled(part: Any) -> Any:
            kind = kind_of(part)
            return part if kind is None else {"type": kind, kind: _read(next(items[COLUMN[kind]]), kind, hosts)}

        return [
            {**message, "content": [filled(part) for part in message["content"]]}
            if isinstance(message.get("content"), list)
            else message
            for message in self.messages
        ]

    @property
    def places(self) -> dict[str, list[str | None]]:
        """Where its media lie; None of those that the data hold themselves."""
        return {name: [_place(item) for item in items] for name, items in self.media.items()}


def _place(item: Any) -> str | None:
    place = item.get("path") if isinstance(item, dict) and item.get("bytes") is None else item
    inline = not isinstance(place, str) or place.startswith("data:") or len(place) > _LONGEST_PLACE
    return None if inline else str(place)


def _read(item: Any, kind: Any, hosts: Sequence[str]) -> bytes:
    kept = stored(item, kind, hosts)
    if kept["bytes"] is not None:
        return kept["bytes"]
    try:
        return Path(str(kept["path"])).read_bytes()
    except OSError as error:
        raise DataError(f"{kind} {kept['path']}: it cannot be read: {error.strerror}") from error


def prompts_of_rows(sets: Mapping[str, Sequence[Row]]) -> dict[str, list[Prompt]]:
    """The prompts of data sets, by their names; see `prompt_of`.

    Raises: DataError for a row without a conversation, with its place.
    """
    return {name: [_placed(name, index, row) for index, row in enumerate(rows)] for name, rows in sets.items()}


def _placed(name: str, index: int, row: Row) -> Prompt:
    try:
        return prompt_of(name, row)
    except DataError as error:
        raise DataError(f"data set {name}, row {index}: {error}") from error


def prompt_of(name: str, row: Row) -> Prompt:
    """The conversation up to the last answer, which is the expected one.

    Raises: DataError for a row without a conversation.
    """
    messages: list[Message]
    expected: list[Message] | None
    if "messages" in row:
        *before, last = row["messages"]
        answered = last["role"] == "assistant" and before
        messages, expected = (before, [last]) if answered else (row["messages"], [])
    elif "prompt" in row:
        messages, expected = row["prompt"], row.get("chosen") or (row.get("completion") if row.get("label", 1) else [])
    else:
        raise DataError(f"it has no conversation, but {', '.join(sorted(row))}")
    answer = "\n".join(map(_said, expected)) if expected else None
    variables = {"enable_thinking": row["enable_thinking"]} if row.get("enable_thinking") is not None else {}
    asked = {**row, "messages": messages} if "messages" in row else row
    media = {kind: items for kind, items in rows_media(asked, ("messages", "prompt")).items() if items}
    columns = {name: value for name, value in row.items() if name not in _READ}
    last = expected[-1] if expected else None
    return Prompt(name, messages, answer, row.get("tools"), variables, media, last, columns)


def _said(message: Message) -> str:
    """The text of a message; what it shows beside it is left out."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part["type"] == "text")
