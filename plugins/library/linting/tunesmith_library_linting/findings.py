"""What is looked at, a record with its canonical row, and what is found; what every check is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from tunesmith.types import Row

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Item:
    """A record of a data set."""

    data: str  # the data set, as the user named it
    row: int  # which record of it, counted from 1
    place: str  # in the file: `line 7`
    file: Path | None  # None where the reader does not tell
    record: Mapping[str, Any]  # as it stands in the file
    content: Row | None  # in canonical form; None where its format cannot read it
    fault: str = ""  # why not
    media_dir: Path | None = None  # where its media are looked for before those beside its file

    @property
    def name(self) -> str:
        """The record, for messages about another one."""
        return f"row {self.row} of {self.data}"


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a record, or with a data set as a whole."""

    check: str
    severity: Severity
    message: str
    data: str
    row: int | None = None  # counted from 1; None for the whole set
    place: str = ""
    file: str = ""

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


class Check(Protocol):
    """Looks at every record once, in order. One instance sees all data sets of a call."""

    name: ClassVar[str]
    says: ClassVar[str]  # what its findings mean, in a line
    mends: ClassVar[str]  # what `--fix` does with such a row: `leaves it out`, `masks it`; "" leaves it as it is

    def look(self, items: Sequence[Item]) -> Iterator[Finding]:
        """What is wrong with some records."""

    def finish(self) -> Iterator[Finding]:
        """What can be told only once all records were seen."""


class RowCheck:
    """A check that needs one record at a time, and of that its canonical row."""

    name: ClassVar[str]
    says: ClassVar[str]
    mends: ClassVar[str] = ""

    def look(self, items: Sequence[Item]) -> Iterator[Finding]:
        for item in items:
            if item.content is not None:
                for severity, message in self.faults(item.content):
                    yield self.finding(item, severity, message)

    def faults(self, row: Row) -> Iterator[tuple[Severity, str]]:
        """What is wrong with a row, and how bad that is."""
        raise NotImplementedError

    def finish(self) -> Iterator[Finding]:
        return iter(())

    def finding(self, item: Item, severity: Severity, message: str) -> Finding:
        """A finding of this check about a record."""
        return Finding(self.name, severity, message, item.data, item.row, item.place, str(item.file or ""))
