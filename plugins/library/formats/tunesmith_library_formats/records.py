"""Finding fields in records whose columns may be named otherwise, and saying which record is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from tunesmith import DataError
from tunesmith.errors import choices
from tunesmith.types import Row

from tunesmith_library_formats.shapes import Fields

Record = Mapping[str, Any]


def convert(
    records: Iterable[Record],
    to_row: Callable[[Record], Row],
    shape: Fields | None = None,
    columns: Columns | None = None,
) -> Iterator[Row]:
    """Turn each record into a row.

    Args:
        records: where they have a `place`, such as `line 7`, messages name it.
        shape: what the fields of a record may hold; records of another shape do not come to `to_row`.
        columns: where the record has those fields.

    Raises: DataError with the record's place, or its index, counted from 0.
    """
    fault_of = shape.checker(columns.of if columns else str) if shape else None
    for index, record in enumerate(records):
        try:
            fault = fault_of(record) if fault_of else ""
            if fault:
                raise DataError(fault)
            row = to_row(record)
        except (DataError, RecursionError) as error:
            place = getattr(records, "place", f"record {index}")
            said = "it is nested too deep" if isinstance(error, RecursionError) else error
            raise DataError(f"{place}: {said}") from error
        yield row


class Columns:
    """Where a format's fields are: under their own names, or where the user's `columns` say.

    Args:
        format: name of the format, for messages.
        fields: the format's own names.
        columns: the user's mapping, field to column.
        aliases: other names for fields that `columns` may use.

    Raises: DataError for a field that the format does not have.
    """

    def __init__(
        self, format: str, fields: Iterable[str], columns: Mapping[str, str], aliases: Mapping[str, str] | None = None
    ) -> None:
        self._format = format
        self._columns: dict[str, str] = {}
        known, aliases = set(fields), aliases or {}
        for name, column in columns.items():
            field = aliases.get(name, name)
            if field not in known:
                raise DataError(f"format {format} has no field {name}\n  {choices(name, known | set(aliases))}")
            self._columns[field] = column

    def mapped(self, field: str) -> bool:
        """Whether the user said where this field is."""
        return field in self._columns

    def of(self, field: str, default: str | None = None) -> str:
        """The column of a field."""
        return self._columns.get(field, default or field)

    def get(self, record: Record, field: str) -> Any:
        """The value of a field, None when the record does not have it."""
        return record.get(self.of(field))

    def need(self, record: Record, *fields: str) -> list[Any]:
        """The values of fields that a record must have, if only as None.

        Raises: DataError that names all that are missing, and the columns there are.
        """
        missing = [field for field in fields if self.of(field) not in record]
        if missing:
            raise DataError(self.complaint(record, fields, missing))
        return [record[self.of(field)] for field in fields]

    def complaint(self, record: Record, fields: Iterable[str], missing: Iterable[str]) -> str:
        """What to say about a record without fields that it needs."""
        needed = ", ".join(f"`{self.of(field)}`" for field in fields)
        found = ", ".join(f"`{name}`" for name in record) or "nothing"
        mapping = ", ".join(f"{field}: COLUMN" for field in missing)
        return f"{self._format} needs {needed}; found {found}; map them with columns={{{mapping}}}"
