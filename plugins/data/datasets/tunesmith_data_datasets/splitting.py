"""Holding records out by the value of a column: those of one conversation or user are never on both sides.

The side is a function of the value alone, and so stays as it is when records are added, moved or taken out.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tunesmith import DataError
from tunesmith.errors import choices
from tunesmith.types import Row
from tunesmith_library_formats import count

from .encoding import Work
from .reading import Records, read_records


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
        text = json.dumps([self.seed, value], sort_keys=True, default=str)
        drawn = int.from_bytes(hashlib.blake2b(text.encode(errors="replace"), digest_size=8).digest())
        return drawn < self.share * 2**64


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
            records = _Watched(read_records(file, self.source.entry.sample_by), self.side)
            for row in self.rows_of(file, records):
                yield records.held, row

    @property
    def is_empty(self) -> bool:
        """Whether no record is on this side."""
        return next(self.rows(), None) is None


class _Watched(Iterator[dict[str, Any]]):
    """Records, and whether the last one is held out."""

    def __init__(self, records: Records, side: Side) -> None:
        self._records, self._side = records, side
        self.held = False

    @property
    def place(self) -> str:
        return self._records.place

    def __next__(self) -> dict[str, Any]:
        record = next(self._records)
        self.held = self._is_held(record)
        return record

    def _is_held(self, record: Mapping[str, Any]) -> bool:
        column = self._side.column
        if column not in record:
            found = choices(column, list(record))
            raise DataError(f"{self.place}: there is no `{column}`, by which data.split_by holds out\n  {found}")
        if record[column] is None:
            count(f"have no value in `{column}` and are not held out (data.split_by)", first=self.place)
            return False
        return self._side.holds(record[column])
