"""Records in canonical form, and back, by the installed formats; a format that cannot read one says why."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tunesmith import DataError
from tunesmith.catalog import Catalog
from tunesmith.errors import choices
from tunesmith_library_formats import matches, reads_of
from tunesmith_library_formats.writing import WRITERS

Record = Mapping[str, Any]


@cache
def installed() -> Mapping[str, type]:
    """The classes of the installed formats by name."""
    return Catalog.discover().classes("format")


def told() -> list[dict[str, Any]]:
    """The installed formats: name, which columns they read, and whether rows can be written in them."""
    return [
        {"name": name, "reads": reads_of(cls), "writable": name in WRITERS or hasattr(cls, "to_record")}
        for name, cls in sorted(installed().items())
    ]


def guess(record: Any, columns: Mapping[str, str] | None = None) -> str:
    """The format that a record looks like most; "" where there is none."""
    if not isinstance(record, Mapping):
        return ""
    found = [match for match in matches(record, columns or {}, installed()) if match.installed]
    return found[0].format if found else ""


@dataclass(frozen=True)
class Reading:
    """How the records of a set are read."""

    format: str  # "" where nothing tells
    columns: Mapping[str, str] = field(default_factory=dict)  # the format's field: the set's column; tags too

    def row(self, record: Record) -> tuple[dict[str, Any] | None, str]:
        """A record in canonical form; or None, and why not."""
        if not self.format:
            names = ", ".join(f"`{name}`" for name in record)
            return None, f"no installed format reads its columns: {names}"
        if self.format not in installed():
            return None, f"format {self.format} is not installed\n  {choices(self.format, installed())}"
        try:
            return dict(next(iter(self._rows(record)))), ""
        except (DataError, RecursionError, StopIteration) as error:
            return None, str(error).removeprefix("record: ") or "its format makes no row of it"

    def record(self, row: Mapping[str, Any], former: Record) -> dict[str, Any]:
        """A canonical row as a record like the former one, whose columns of other meaning stay.

        Raises: DataError where the format has no place for the row, or columns are mapped.
        """
        if self.columns:
            raise DataError("columns of this set are mapped, so its rows are edited as JSON")
        cls: Any = installed().get(self.format)
        write = cls().to_record if hasattr(cls, "to_record") else WRITERS.get(self.format)
        if write is None:
            raise DataError(f"records of {self.format} cannot be written from a conversation; edit the JSON")
        made: dict[str, Any] = write(dict(row))
        read = self._columns_read(former)
        kept = {name: value for name, value in former.items() if name not in read and name not in made}
        ordered = {name: made[name] for name in former if name in made}
        record = {**ordered, **{name: value for name, value in made.items() if name not in ordered}, **kept}
        again, fault = self.row(record)
        if again != dict(row):
            raise DataError(fault or f"the format {self.format} cannot hold all of this conversation; edit the JSON")
        return record

    def _columns_read(self, former: Record) -> set[str]:
        """The columns of a record without which its row would be another."""
        whole, _ = self.row(former)
        found = set()
        for name in former:
            rest, _ = self.row({other: value for other, value in former.items() if other != name})
            if rest != whole:
                found.add(name)
        return found

    def _rows(self, record: Record) -> Iterator[Any]:
        cls: Any = installed()[self.format]
        given = {"records": _One([record]), "columns": self.columns}
        accepted = inspect.signature(cls.to_rows).parameters
        made: Iterator[Any] = cls().to_rows(**{name: given[name] for name in given if name in accepted})
        return made


class _One(list[Record]):
    """One record, whose place is known already."""

    place = "record"
