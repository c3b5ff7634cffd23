"""Where a row's items are seen: marks in its texts become typed parts, and items that parts carry become the row's.

A canonical row with media has parts `{"type": "image"}` (or video, audio) in its messages, and its items in `images`
(or videos, audios), in the order of the parts: those of `prompt` before those of `chosen`, and so on.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from tunesmith.errors import DataError
from tunesmith.types import Message, Row

from tunesmith_library_media.kinds import Kind, a

CONVERSATIONS = ("messages", "prompt", "chosen", "rejected", "completion")
"""The columns of a row that hold messages, in the order in which their items stand in the row's lists."""

COLUMN: Mapping[Kind, str] = {"image": "images", "video": "videos", "audio": "audios"}
"""Where a row has the items of each kind."""

_KIND_OF: Mapping[str, Kind] = {
    name: kind for kind in COLUMN for name in (kind, f"{kind}_url", f"input_{kind}", f"{kind}_path")
}
_HELD_IN = ("path", "url", "bytes", "base64", "data", "value", "source", "array")


def kind_of(part: Any) -> Kind | None:
    """What a part of a message shows; None of text and of what is no part."""
    return _KIND_OF.get(str(part.get("type"))) if isinstance(part, Mapping) else None


def carried(part: Mapping[str, Any], kind: Kind) -> Any:
    """The item that a part holds itself; None of one that only says where an item of the row is seen."""
    own = next((part[key] for key in _KIND_OF if _KIND_OF[key] == kind and part.get(key) not in (None, "")), None)
    if own is None:
        held = {key: part[key] for key in _HELD_IN if part.get(key) not in (None, "")}
        own = next((held[key] for key in ("value", "source") if key in held), held or None)
    if isinstance(own, Mapping) and own.get("bytes") is None:
        own = next((own[key] for key in ("url", "path") if isinstance(own.get(key), str)), own)
    if isinstance(own, Mapping) and isinstance(own.get("data"), str) and not own["data"].startswith("data:"):
        return {"base64": own["data"]}  # `input_audio`, and Anthropic's `source`
    return own


def placed(row: Row, takes: Collection[str] = ()) -> Row:
    """A row whose media are where its texts have them. One that is so already stays as it is.

    Args:
        row: canonical, with marks `<image>`, `<video>`, `<audio>` in texts, or typed parts, which may carry their item.
        takes: columns of media that the model is shown: a mark of these without an item is an error, one of others
            is text.

    Raises: DataError where marks and items are not equally many.
    """
    columns = [name for name in CONVERSATIONS if isinstance(row.get(name), list)]
    messages = [message for name in columns for message in row[name]]
    has_media = any(row.get(name) for name in COLUMN.values()) or next(_parts(messages), None)
    if not columns or not (has_media or takes):
        return row
    kinds = {kind: _Places(kind, row, messages) for kind in COLUMN}
    splitting = [kind for kind, places in kinds.items() if places.are_marks(COLUMN[kind] in takes)]
    if not splitting and not any(places.carried for places in kinds.values()):
        return row
    pattern = re.compile("|".join(f"<{kind}>" for kind in splitting) or r"(?!)")
    made = {name: [_marked(message, pattern) for message in row[name]] for name in columns}
    filled: dict[str, list[Any]] = {}
    for kind, places in kinds.items():
        items = list(places.filled(part for name in columns for part in _parts(made[name]) if kind_of(part) == kind))
        if items or places.given:
            filled[COLUMN[kind]] = items
    return {**row, **{name: [_bare(message) for message in made[name]] for name in columns}, **filled}


class _Places:
    """The places for items of a kind in a row, and its items."""

    def __init__(self, kind: Kind, row: Row, messages: Sequence[Message]) -> None:
        self.kind = kind
        self.given: list[Any] = list(row.get(COLUMN[kind]) or ())
        self.parts = [part for part in _parts(messages) if kind_of(part) == kind]
        self.carried = [item for part in self.parts if (item := carried(part, kind)) is not None]
        self.marks = sum(text.count(f"<{kind}>") for text in _texts(messages))
        self._closed = any(f"</{kind}>" in text for text in _texts(messages))
        self._twice = bool(self.given) and len(self.carried) == len(self.parts) and self._same()
        if self._twice:  # the parts carry what the row's list has
            self.given = []

    def _same(self) -> bool:
        return len(self.carried) == len(self.given) and all(map(_is_same, self.carried, self.given))

    def are_marks(self, taken: bool) -> bool:
        """Whether the marks in texts are places; else they are text.

        Args:
            taken: the model is shown items of this kind.

        Raises: DataError where there are not as many as items.
        """
        bare = len(self.parts) - len(self.carried)
        if bare == len(self.given) and (self.parts or self.given or not taken or self._closed):
            return False  # each has a part, or there are none: `<video>` with an end is HTML
        if bare + self.marks == len(self.given):
            return bool(self.marks)
        if not self.marks and not bare:
            where = f"write <{self.kind}> in the text, or a typed part, where each of them is to be seen"
            raise DataError(f"no place in the texts says where {_number(len(self.given), self.kind)} would be; {where}")
        found = [f"{self.marks} × <{self.kind}>"] if self.marks else []
        found += [f"{bare} × a part of type {self.kind}"] if bare else []
        items = f"{_number(len(self.given), self.kind)} in `{COLUMN[self.kind]}`"
        raise DataError(f"the row has {' and '.join(found)} for {items}; there must be as many places as items")

    def filled(self, parts: Iterator[Any]) -> Iterator[Any]:
        """The items in the order of their parts."""
        waiting = iter(self.given)
        for part in parts:
            own = carried(part, self.kind)
            yield next(waiting) if own is None else own


def _is_same(one: Any, other: Any) -> bool:
    try:
        return bool(_plain(one) == _plain(other))
    except ValueError:  # arrays
        return one is other


def _plain(item: Any) -> Any:
    """An item without the mapping around it."""
    if not isinstance(item, Mapping):
        return item
    return next((item[key] for key in ("bytes", "path", "url", "base64") if item.get(key) is not None), None)


def _number(count: int, kind: Kind) -> str:
    name = a(kind).partition(" ")[2]
    return f"{count} {name}" if count == 1 else f"{count} {name}s"


def _texts(messages: Sequence[Message]) -> Iterator[str]:
    for message in messages:
        content = message.get("content")
        if isinstance(content, str):
            yield content
        else:
            yield from (str(part.get("text") or "") for part in content or () if isinstance(part, Mapping))


def _parts(messages: Sequence[Message]) -> Iterator[Mapping[str, Any]]:
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            yield from (part for part in content if kind_of(part))


def _marked(message: Message, pattern: re.Pattern[str]) -> Message:
    """A message whose marks are typed parts."""
    content = message.get("content")
    given = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(given, list) or not any(pattern.search(text) for text in _texts([message])):
        return message
    made: list[Any] = []
    for part in given:
        text = part.get("text") if isinstance(part, Mapping) and part.get("type") == "text" else None
        made += _split(text, pattern) if isinstance(text, str) else [part]
    return {**message, "content": made}


def _split(text: str, pattern: re.Pattern[str]) -> Iterator[dict[str, str]]:
    behind = 0
    for found in pattern.finditer(text):
        if text[behind : found.start()]:
            yield {"type": "text", "text": text[behind : found.start()]}
        yield {"type": found.group()[1:-1]}
        behind = found.end()
    if text[behind:]:
        yield {"type": "text", "text": text[behind:]}


def _bare(message: Message) -> Message:
    """A message whose parts say where items are seen, and hold none."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    return {**message, "content": [{"type": kind} if (kind := kind_of(part)) else part for part in content]}


def rows_media(row: Row, columns: Collection[str] = CONVERSATIONS) -> dict[str, list[Any]]:
    """The items that some of a row's conversations show, by column of media, in the order of the text.

    Args:
        row: as `placed` gives it.
        columns: which conversations: `prompt` and `chosen`, say.
    """
    found: dict[str, list[Any]] = {}
    for kind, name in COLUMN.items():
        items = iter(row.get(name) or ())
        shown: list[Any] = []
        for conversation in CONVERSATIONS:
            messages = row.get(conversation)
            of_it = [next(items) for part in _parts(messages or ()) if kind_of(part) == kind] if messages else []
            shown += of_it if conversation in columns else []
        found[name] = shown
    return found
