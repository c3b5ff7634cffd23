"""What to say of rows that a stage cannot use: which one, where it stands, and what its record has there."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith import DataError
from tunesmith.types import Encoder, Row
from tunesmith_library_formats import Lacking, shorten, tallying
from tunesmith_library_media.telling import faults as faults_of_media

from .entries import Source
from .media import MEDIA, without_bad_media
from .reading import read_records

_COMPARED = 20  # rows behind the first bad one that are tried, to see whether others can be used


class PlacedRow(dict[str, Any]):
    """A canonical row that knows where it is from."""

    file: Path
    place: str  # line 7

    @property
    def where(self) -> str:
        """Its place in words: `my.jsonl, line 7`."""
        return f"{self.file.name}, {self.place}"


def unusable(source: Source, format: str, encode: Encoder, rows: Sequence[Row], error: Exception) -> DataError:
    """The error of rows that cannot be encoded: it names the entry, the first such row and its place.

    Args:
        error: that of all rows together.
    """
    with tallying():
        faults = ((index, found) for index, row in enumerate(rows) if (found := _fault(encode, row)))
        index, error = next(faults, (None, error))
        others = index is not None and (index > 0 or any(not _fault(encode, row) for row in rows[1 : 1 + _COMPARED]))
    said = str(error) if isinstance(error, DataError) else "a row is nested too deep"
    where = ""
    row = None if index is None else rows[index]
    if isinstance(row, PlacedRow):
        where = f", {row.where}"
    if isinstance(error, Lacking):
        there = _found(source, row, error.fields) if isinstance(row, PlacedRow) else ""
        said = "\n  ".join(filter(None, [error.said, there, error.mending() if others else error.advice]))
    elif row is not None and any(row.get(name) for name in MEDIA) and any(faults_of_media(row)):
        said += f"\n  {without_bad_media(source.entry.path)}"
    entry = f"{source.entry.path}, format {format}"
    return DataError(f"{source.key} ({entry}){where}: {said}")


def _fault(encode: Encoder, row: Row) -> Exception | None:
    """Why a row cannot be encoded by itself; None when it can."""
    try:
        encode([row])
    except (DataError, RecursionError) as error:
        return error
    return None


def _found(source: Source, row: PlacedRow, fields: Sequence[str]) -> str:
    """What a row's record has under the names of fields that the row lacks, in words; "" where nothing is asked."""
    record = _record_of(source, row)
    if not fields or record is None:
        return ""
    names = [source.entry.columns.get(field, field) for field in fields]
    there = [f"its `{name}` is {_in_words(record[name])}" for name in names if name in record]
    columns = ", ".join(f"`{name}`" for name in record)
    return ", ".join(there) or f"it has no `{names[0]}`, but {columns}"


def _record_of(source: Source, row: PlacedRow) -> Mapping[str, Any] | None:
    """The record of a row, read once more."""
    records = read_records(row.file, source.entry.sample_by)
    with contextlib.suppress(DataError), tallying():
        for record in records:
            if records.place == row.place:
                return record
    return None


def _in_words(value: Any) -> str:
    """A value as JSON has it, so that a text is told from a number."""
    with contextlib.suppress(RecursionError, ValueError, TypeError):
        return shorten(json.dumps(value, ensure_ascii=False))
    return shorten(value)
