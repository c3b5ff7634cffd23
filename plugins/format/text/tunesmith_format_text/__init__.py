"""Records of plain text, for pre-training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import ClassVar

from tunesmith import DataError, hookimpl, plugin
from tunesmith.types import Row
from tunesmith_library_formats import TEXT, Columns, Fields, Record, convert

SHAPE = Fields({"text": TEXT})


@plugin
class Text:
    """One text per record, in the column `text`. A text file is cut into records by the data set's `sample_by`."""

    reads: ClassVar[str] = "text"

    @staticmethod
    def looks_like(record: Record) -> bool:
        """Whether there is a column of text under this name."""
        return "text" in record and isinstance(record["text"], str | None)

    @hookimpl
    def to_rows(self, records: Iterable[Record], columns: Mapping[str, str]) -> Iterator[Row]:
        where = Columns("text", SHAPE.fields, columns, {"prompt": "text"})
        return convert(records, partial(_row, where=where), SHAPE, where)


def _row(record: Record, where: Columns) -> Row:
    (text,) = where.need(record, "text")
    if text is None:
        raise DataError(f"`{where.of('text')}` must be text, found None")
    return {**where.kept(record), "text": text}
