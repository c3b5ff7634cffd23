"""Rows of a set as they are asked for: a page, a search, those that somebody marked; and the media that they name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith import DataError
from tunesmith.errors import choices

from .journal import Marks, Opinion
from .opening import text_of
from .registry import entries

if TYPE_CHECKING:
    from .sets import Data

_GOOD, _BAD = 4, 2  # ratings that count as good from, and as bad up to


@dataclass(frozen=True)
class Wanted:
    """Which rows of a set."""

    offset: int = 0
    limit: int = 20
    search: str = ""
    only: Sequence[int] = ()  # numbers of rows
    marked: str = ""  # see MARKED, or tag:NAME
    shortest: int = 0  # characters of a record
    longest: int = 0  # 0 is any
    format: str = ""
    author: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether rows are wanted as they stand, one after the other."""
        return not (self.search or self.marked or self.shortest or self.longest)


MARKED: Mapping[str, Callable[[Marks, Sequence[Opinion]], bool]] = {
    "judged": lambda marks, said: any(one.is_judged for one in said),
    "unjudged": lambda marks, said: not any(one.is_judged for one in said),
    "skipped": lambda marks, said: any(one.skip for one in said),
    "edited": lambda marks, said: marks.record is not None,
    "deleted": lambda marks, said: marks.deleted,
    "good": lambda marks, said: any(one.label is True or (one.rate or 0) >= _GOOD for one in said),
    "bad": lambda marks, said: any(one.label is False or 0 < (one.rate or 0) <= _BAD for one in said),
}


def rows_of(layer: Data, data: str, wanted: Wanted) -> dict[str, Any]:
    """The rows that are wanted: `items`, `total` (null of a search), `next` (the offset to go on from, or null)."""
    opened = layer.opened(data)
    reading = layer.reading(data, opened, wanted.format)
    if wanted.only:
        rows = list(wanted.only)[wanted.offset : wanted.offset + wanted.limit]
        after = wanted.offset + wanted.limit
        following = after if after < len(wanted.only) else None
        return {"items": layer.told(data, opened.at(rows), reading), "total": len(wanted.only), "next": following}
    if wanted.is_plain:
        found = opened.page(wanted.offset + 1, wanted.limit)
        after = wanted.offset + wanted.limit
        items = layer.told(data, found, reading)
        return {"items": items, "total": opened.count, "next": after if after < opened.count else None}
    marks = layer.journal(data).marks()
    edited = {
        number: json.dumps(of_row.record, ensure_ascii=False).encode()
        for number, of_row in marks.items()
        if of_row.record is not None
    }
    found, row = opened.search(wanted.search, wanted.offset + 1, wanted.limit, _fits(marks, wanted), edited)
    return {"items": layer.told(data, found, reading), "total": None, "next": None if row is None else row - 1}


def _fits(marks: Mapping[int, Marks], wanted: Wanted) -> Callable[[int, bytes], bool]:
    """Whether a row has the length and the marks that are wanted."""
    none = Marks()
    tag = wanted.marked.removeprefix("tag:") if wanted.marked.startswith("tag:") else ""
    if wanted.marked and not tag and wanted.marked not in MARKED:
        raise DataError(f"marked={wanted.marked} is not known\n  {choices(wanted.marked, [*MARKED, 'tag:NAME'])}")

    def fits(number: int, line: bytes) -> bool:
        if wanted.shortest or wanted.longest:
            length = len(text_of(line))
            if length < wanted.shortest or (wanted.longest and length > wanted.longest):
                return False
        if not wanted.marked:
            return True
        of_row = marks.get(number, none)
        said = [one for author, one in of_row.opinions.items() if wanted.author in ("", author)]
        return any(tag in one.tags for one in said) if tag else MARKED[wanted.marked](of_row, said)

    return fits


def media_file(layer: Data, path: str, data: str = "") -> Path:
    """An image, video or sound that a row names: beside the set's file, in its `media_dir`, or in the workspace.

    Raises: DataError where it is nowhere there.
    """
    folders = [layer.workspace.root]
    if data:
        named = layer.named(data)
        folders = [*([named.path.parent] if named.path else []), *folders]
        entry = entries(layer.workspace.root).get(data, {})
        if entry.get("media_dir"):
            folders.insert(0, Path(entry["file"]).parent / str(entry["media_dir"]))
    for folder in folders:
        found = layer.workspace.path(folder / path)
        if found.is_file():
            return found
    raise DataError(f"{path}: there is no such file beside the set or in the workspace")
