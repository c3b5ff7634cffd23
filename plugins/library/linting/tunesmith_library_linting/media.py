"""Media beside their placeholders: as many of each as the texts name, and files that are there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from tunesmith.types import Message, Row
from tunesmith_library_formats import MEDIA

from .findings import Finding, Item, RowCheck
from .texts import messages_of, text_of

_ELSEWHERE = ("http://", "https://", "data:", "s3://", "gs://", "hf://")


class Media(RowCheck):
    """Placeholders without a medium, media without a placeholder, files that are missing."""

    name: ClassVar[str] = "media"
    says: ClassVar[str] = "placeholders and media are not equally many, or a file is missing"
    mends: ClassVar[str] = "leaves it out"

    def look(self, items: Sequence[Item]) -> Iterator[Finding]:
        for item in items:
            folder = item.file.parent if item.file else Path()
            for message in _faults(item.content or {}, folder):
                yield self.finding(item, "error", message)


def _faults(row: Row, folder: Path) -> Iterator[str]:
    """What is wrong with the media of a row; `folder` is where its file stands."""
    placeholders = Counter[str]()
    for message in messages_of(row):
        placeholders.update(_placeholders(message))
    for kind in MEDIA:
        given, places = row.get(kind) or [], placeholders[kind]
        if places != len(given):
            one = kind[:-1]
            yield f"{_number(places, f'placeholder <{one}>')} for {_number(len(given), one)}"
        for item in given:
            if _is_missing(item, folder):
                yield f"there is no file {item}"


def _placeholders(message: Message) -> Counter[str]:
    """How many media of each kind a message has a place for.

    Parts that carry their medium themselves ask for none of the row's, and `<video>` with an end is HTML.
    """
    found = Counter[str]()
    text, content = text_of(message), message.get("content")
    for kind in MEDIA:
        one = kind[:-1]
        found[kind] += 0 if f"</{one}>" in text else text.count(f"<{one}>")
        for part in content if isinstance(content, list) else []:
            carried = any(part.get(key) for key in (one, f"{one}_url", "path", "url", "value", "data", "base64"))
            found[kind] += part.get("type") in (one, f"{one}_url") and not carried
    return found


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _is_missing(item: Any, folder: Path) -> bool:
    if not isinstance(item, str) or item.startswith(_ELSEWHERE):
        return False
    return not any(path.is_file() for path in (Path(item).expanduser(), folder / item))
