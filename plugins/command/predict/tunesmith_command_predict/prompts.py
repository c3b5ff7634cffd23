"""From canonical rows to prompts and the answers that are expected."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith import DataError
from tunesmith.assemble import assemble
from tunesmith.compose import Composition
from tunesmith.errors import ConfigError
from tunesmith.types import Encoder, Message, Row
from tunesmith_library_media.holding import stored
from tunesmith_library_media.placing import COLUMN, kind_of, rows_media
from tunesmith_library_media.texts import row_text

_LONGEST_PLACE = 4096  # characters; what is longer is base64


@dataclass(frozen=True)
class Prompt:
    """One conversation to answer."""

    dataset: str
    messages: list[Message]
    answer: str | None  # the expected one, where the data has it
    tools: list[Any] | None
    variables: dict[str, Any]  # for the template
    media: dict[str, list[Any]] = field(default_factory=dict)  # `images`, `videos`, `audios`, in the order of the text

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


def prompts_of(composition: Composition) -> list[Prompt]:
    """The prompts of `data.eval`, read by the plugins that a training would read it with.

    Raises: ConfigError when there are no evaluation sets; DataError for rows that are no conversations.
    """
    data = composition.tree.get("data", {})
    if not data.get("eval"):
        raise ConfigError("There is nothing to predict: data.eval is empty.\nwrite data.eval=[test.json]")
    data["train"] = data["eval"]  # the run's training data is not read, but some must be there
    for name in ("val_size", "streaming"):
        data.pop(name, None)
    run = assemble(composition, "show" if composition.tree.get("model") else "eval")  # without, it runs elsewhere
    unbound: Any = None
    encoder = Encoder(_as_json, unbound, unbound, "canonical rows")
    splits = run.hook.build_dataset(fetch=run.fetch, to_rows=run.to_rows, encode=encoder)
    return [prompt for name, rows in splits.eval.items() for prompt in _prompts(name, rows)]


def _as_json(rows: Sequence[Row], processor: Any, template: Any) -> dict[str, list[str]]:
    """In place of a stage's encoding: the rows themselves, as text, since their shapes differ."""
    return {"row": [row_text(row) for row in rows]}


def _prompts(name: str, rows: Any) -> Iterator[Prompt]:
    for index in range(len(rows)):
        try:
            yield prompt_of(name, json.loads(str(rows[index]["row"])))
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
    return Prompt(name, messages, answer, row.get("tools"), variables, media)


def _said(message: Message) -> str:
    """The text of a message; what it shows beside it is left out."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part["type"] == "text")
