"""What people say and change of rows, noted one after the other and never overwritten: so all of it can be undone.

A file of JSON Lines beside nothing of the user's: the data set itself stays until a version is saved.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from tunesmith import DataError, TunesmithError

Action = Literal["edit", "delete", "rate", "label", "choose", "correct", "skip", "tags", "note", "undo"]
_CHANGES = ("edit", "delete")  # of the row itself; everything else is an opinion of its author
_BETTER = ("chosen", "rejected", "tie", None)


class Conflict(TunesmithError):
    """Somebody else changed a row since it was read."""


@dataclass
class Opinion:
    """What one person said of a row."""

    rate: int | None = None  # 1 to 5
    label: bool | None = None  # whether the answer is good
    choose: str | None = None  # which answer is better: chosen, rejected, tie
    correct: str | None = None  # the answer as it should be
    skip: bool = False
    tags: list[str] = field(default_factory=list)
    note: str = ""

    @property
    def is_judged(self) -> bool:
        """Whether the row was dealt with."""
        return self.skip or any(value is not None for value in (self.rate, self.label, self.choose, self.correct))

    def to_json(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value not in (None, False, "", [])} | (
            {"label": self.label} if self.label is not None else {}
        )


@dataclass
class Marks:
    """All that was said and changed of a row."""

    revision: int = 0  # the number of the last change of the row itself
    changed_by: str = ""
    record: dict[str, Any] | None = None  # as it was changed to
    deleted: bool = False
    opinions: dict[str, Opinion] = field(default_factory=dict)  # by author

    def to_json(self) -> dict[str, Any]:
        """As the interface has it; the record is told elsewhere."""
        return {
            "revision": self.revision,
            "changed_by": self.changed_by,
            "edited": self.record is not None,
            "deleted": self.deleted,
            "opinions": {author: opinion.to_json() for author, opinion in self.opinions.items()},
        }


class Journal:
    """The notes about one data set.

    Args:
        path: the file of the notes; it is made with the first.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._read = 0  # bytes
        self._entries: list[dict[str, Any]] = []
        self._marks: dict[int, Marks] = {}

    def marks(self) -> Mapping[int, Marks]:
        """What there is of rows, by their numbers."""
        with self._lock:
            self._look()
            return dict(self._marks)

    def note(self, row: int, author: str, action: Action, value: Any, revision: int | None = None) -> Marks:
        """Note one thing about a row.

        Args:
            revision: for `edit` and `delete`, of the row as the author saw it.

        Returns: all of the row, from now on.
        Raises: DataError for a value that cannot be; Conflict where another changed the row meanwhile.
        """
        if not author.strip():
            raise DataError("who says it? an author's name is needed")
        value = checked(action, value)
        with self._lock:
            self._look()
            marks = self._marks.get(row, Marks())
            if action in _CHANGES and revision != marks.revision:
                raise Conflict(f"row {row} was changed by {marks.changed_by} since you read it\n  read it again first")
            self._add({"row": row, "author": author.strip(), "action": action, "value": value})
            return self._marks[row]

    def undo(self, author: str) -> dict[str, Any] | None:
        """Take back the last thing that an author noted. Returns: what it was; None where there is nothing.

        Raises: Conflict where another changed the row after it.
        """
        with self._lock:
            self._look()
            undone = {entry["value"] for entry in self._entries if entry["action"] == "undo"}
            own = (entry for entry in reversed(self._entries) if entry["author"] == author.strip())
            last = next((one for one in own if one["action"] != "undo" and one["number"] not in undone), None)
            if last is None:
                return None
            marks = self._marks[last["row"]]
            if last["action"] in _CHANGES and marks.revision != last["number"]:
                raise Conflict(f"row {last['row']} was changed by {marks.changed_by} after you")
            self._add({"row": last["row"], "author": author.strip(), "action": "undo", "value": last["number"]})
            return {name: last[name] for name in ("row", "action", "value")}

    def history(self, row: int) -> list[dict[str, Any]]:
        """What was noted of a row, in its order."""
        with self._lock:
            self._look()
            return [entry for entry in self._entries if entry["row"] == row]

    def _add(self, entry: dict[str, Any]) -> None:
        numbered = {"number": len(self._entries) + 1, "time": time.time(), **entry}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(json.dumps(numbered, ensure_ascii=False) + "\n")
        self._look()

    def _look(self) -> None:
        """Read what was noted since the last look, by other servers too."""
        if not self._path.is_file():
            return
        with self._path.open("rb") as stream:
            stream.seek(self._read)
            new = stream.read()
        whole = new[: new.rfind(b"\n") + 1]  # another may be writing a line at the moment
        self._read += len(whole)
        added = [json.loads(line) for line in whole.splitlines()]
        self._entries += added
        for row in {entry["row"] for entry in added}:
            self._marks[row] = folded(entry for entry in self._entries if entry["row"] == row)


def folded(entries: Iterable[Mapping[str, Any]]) -> Marks:
    """What notes of one row come to."""
    listed = list(entries)
    undone = {entry["value"] for entry in listed if entry["action"] == "undo"}
    marks = Marks()
    for entry in listed:
        action, author, value = entry["action"], entry["author"], entry["value"]
        if action == "undo" or entry["number"] in undone:
            continue
        if action in _CHANGES:
            marks.revision, marks.changed_by = entry["number"], author
        if action == "edit":
            marks.record = value
        elif action == "delete":
            marks.deleted = value
        else:
            setattr(marks.opinions.setdefault(author, Opinion()), action, value)
    return marks


def checked(action: str, value: Any) -> Any:
    """A value that can be noted. Raises: DataError with what is possible."""
    possible = {
        "edit": (value is None or isinstance(value, dict), "a record, or null for the original"),
        "delete": (isinstance(value, bool), "true or false"),
        "rate": (value is None or (isinstance(value, int) and 1 <= value <= 5), "1 to 5, or null"),
        "label": (
            value is None or isinstance(value, bool),
            "true, false, null",
        ),
        "choose": (value in _BETTER, "chosen, rejected, tie, or null"),
        "correct": (value is None or isinstance(value, str), "the answer as a text, or null"),
        "skip": (isinstance(value, bool), "true or false"),
        "tags": (isinstance(value, list) and all(isinstance(tag, str) for tag in value), "a list of texts"),
        "note": (isinstance(value, str), "a text"),
    }
    if action not in possible:
        raise DataError(f"there is no action {action}\n  possible: {', '.join(possible)}")
    fits, what = possible[action]
    if not fits:
        raise DataError(f"{action}: {what} is possible, found {json.dumps(value, default=str)[:80]}")
    return value
