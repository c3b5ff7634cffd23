"""Holding records out by the value of a column: those of one conversation or user are never on both sides.

The side is a function of the value alone, and so stays as it is when records are added, moved or taken out.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tunesmith import DataError
from tunesmith.errors import choices
from tunesmith.types import Row
from tunesmith_library_formats import count

from .encoding import Work
from .reading import Records, read_records

_LOOKED_THROUGH = 1000  # records of a file, of which one must have the column
_WHOLE = re.compile(r"\s*([+-]?\d+)(?:\.0*)?\s*")


@dataclass(frozen=True)
class Side:
    """One side of a split.

    Args:
        column: of the records.
        share: of its values that are held out.
        seed: of the choice.
        held: whether this is the side that is held out.
    """

    column: str
    share: float
    seed: int
    held: bool

    def holds(self, value: Any) -> bool:
        """Whether records of a value are held out."""
        text = json.dumps([self.seed, alike(value)], sort_keys=True, default=str)
        drawn = int.from_bytes(hashlib.blake2b(text.encode(errors="replace"), digest_size=8).digest())
        return drawn < self.share * 2**64


def alike(value: Any) -> Any:
    """What a value is the same as in other files, where `2` may be a text, or `2.0`."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return value
    text = str(value)
    whole = _WHOLE.fullmatch(text)
    if whole is None:
        return text
    return f"{'-' if whole[1].startswith('-') else ''}{whole[1].lstrip('+-0')}" or "0"


def is_missing(value: Any) -> bool:
    """Whether a record has no value, as files of each kind have it: null, not a number, nothing between two commas."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


@dataclass(frozen=True, kw_only=True)
class SidedWork(Work):
    """One side of a data set to encode."""

    side: Side

    @classmethod
    def of(cls, work: Work, side: Side) -> SidedWork:
        """That side of a data set, which is kept apart from the other in a cache."""
        parts = {**(work.encode.parts or {"encoding": work.encode.fingerprint}), "side of the split": repr(side)}
        return cls(**{**vars(work), "encode": replace(work.encode, parts=parts)}, side=side)

    def rows(self) -> Iterator[Row]:
        """The canonical rows of this side, of the first `max_samples` records of both."""
        both = itertools.islice(self._rows_of_both(), self.max_samples)
        return (row for held, row in both if held == self.side.held)

    def _rows_of_both(self) -> Iterator[tuple[bool, Row]]:
        for file in self.files:
            records = _Watched(read_records(file, self.source.entry.sample_by), self.side, file.name)
            for row in self.rows_of(file, records):
                yield records.held, row

    @property
    def is_empty(self) -> bool:
        """Whether no record is on this side."""
        return next(self.rows(), None) is None


class _Watched(Iterator[dict[str, Any]]):
    """Records, and whether the last one is held out."""

    def __init__(self, records: Records, side: Side, file: str) -> None:
        self._records, self._side, self._file = records, side, file
        self._read = 0
        self._columns: dict[str, None] = {}  # of records, as long as none has the column
        self.held = False

    @property
    def place(self) -> str:
        return self._records.place

    def __next__(self) -> dict[str, Any]:
        record = next(self._records, None)
        if self._side.column not in self._columns and (record is None or self._read == _LOOKED_THROUGH):
            self._refuse()
        if record is None:
            raise StopIteration
        self._read += 1
        if self._side.column not in self._columns:
            self._columns.update(dict.fromkeys(record))
        self.held = self._is_held(record)
        return record

    def _is_held(self, record: Mapping[str, Any]) -> bool:
        value = record.get(self._side.column)
        if not is_missing(value):
            return self._side.holds(value)
        if not self._side.held:  # the other side reads it, too
            what = f"have no value in `{self._side.column}` and are not held out (data.split_by)"
            count(what, first=f"{self._file}, {self.place}")
        return False

    def _refuse(self) -> None:
        if self._read:
            column, found = self._side.column, choices(self._side.column, list(self._columns))
            message = f"of its first {self._read:,} records none has `{column}`, by which data.split_by holds out"
            raise DataError(f"{message}\n  {found}")
