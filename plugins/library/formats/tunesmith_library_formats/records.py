"""Finding fields in records whose columns may be named otherwise, and saying which record is wrong."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from tunesmith import DataError
from tunesmith.errors import choices, nearest
from tunesmith.types import Row

from tunesmith_library_formats.shapes import Fields

Record = Mapping[str, Any]
_COMPARED = 20  # records that are tried, to see whether others have what one lacks


class Lacking(DataError):
    """A record or row has not what is needed: it may be one among many, or all may be made otherwise.

    Args:
        said: what is needed, and what was found.
        advice: what to do where all are so.
        fields: what is missing, by the names of the one who needs it.
        separator: between the first two.
    """

    def __init__(self, said: str, advice: str, fields: Iterable[str], separator: str = "; ") -> None:
        super().__init__(said, advice, tuple(fields), separator)  # so that it comes whole out of other processes
        self.said, self.advice, self.fields, self.separator = said, advice, tuple(fields), separator

    def __str__(self) -> str:
        return f"{self.said}{self.separator}{self.advice}"

    def within(self, place: str) -> Lacking:
        """The same of a part of the record: `turn 2`."""
        return Lacking(f"{place}: {self.said}", self.advice, self.fields)

    def mending(self, found: Iterable[str] = ()) -> str:
        """What to do where others have what is needed.

        Args:
            found: names among which a missing one may be misspelt.
        """
        near = {field: name for field in self.fields if (name := nearest(field, found, likeness=0.8))}
        renamed = "".join(f"; did you mean `{field}` by `{name}`?" for field, name in near.items())
        return f"others have what is needed: mend this one, or take it out{renamed}"


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
            said: Any = "it is nested too deep" if isinstance(error, RecursionError) else error
            if isinstance(error, Lacking) and (index or _any_is_right(records, to_row)):
                said = f"{error.said}; {error.mending(record)}"
            raise DataError(f"{place}: {said}") from error
        yield row


def _any_is_right(records: Iterable[Record], to_row: Callable[[Record], Row]) -> bool:
    """Whether one of the next records can be turned into a row; of a list they are the first ones again."""
    try:
        for record in itertools.islice(records, _COMPARED):
            with contextlib.suppress(DataError, RecursionError):
                to_row(record)
                return True
    except DataError:  # the file cannot be read further
        pass
    return False


ALONE = "*"
"""The key by which a mapping of columns says that it names all that are read."""


KEPT = "+"
"""How keys of a mapping of columns begin that are no fields of the format: rows keep those columns as they are."""


class Columns:
    """Where a format's fields are: under their own names, or where the user's `columns` say.

    Args:
        format: name of the format, for messages.
        fields: the format's own names.
        columns: the user's mapping, field to column. With `ALONE` in it, other fields are in no column but those that
            a record of the format cannot do without. Keys that begin with `KEPT` name columns for `kept`.
        aliases: other names for fields that `columns` may use.
        needed: those fields.

    Raises: DataError for a field that the format does not have.
    """

    def __init__(
        self,
        format: str,
        fields: Iterable[str],
        columns: Mapping[str, str],
        aliases: Mapping[str, str] | None = None,
        needed: Iterable[str] = (),
    ) -> None:
        self._format = format
        self._columns: dict[str, str] = {}
        self._kept = tuple(column for name, column in columns.items() if name.startswith(KEPT))
        known, aliases = set(fields), aliases or {}
        others = {field for field in known - set(needed) if not field.endswith("_tag")}
        self._hidden: set[str] = others if ALONE in columns else set()
        for name, column in columns.items():
            if name == ALONE or name.startswith(KEPT):
                continue
            field = aliases.get(name, name)
            if field not in known:
                raise DataError(f"format {format} has no field {name}\n  {choices(name, known | set(aliases))}")
            self._columns[field] = column
        self._hidden -= self._columns.keys()

    def mapped(self, field: str) -> bool:
        """Whether the user said where this field is, or that it is nowhere."""
        return field in self._columns or field in self._hidden

    def of(self, field: str, default: str | None = None) -> str:
        """The column of a field; "" for one that is nowhere."""
        return "" if field in self._hidden else self._columns.get(field, default or field)

    def get(self, record: Record, field: str) -> Any:
        """The value of a field, None when the record does not have it."""
        return None if field in self._hidden else record.get(self.of(field))

    def kept(self, record: Record) -> dict[str, Any]:
        """What the user wants in rows beside what the format reads."""
        return {name: record[name] for name in self._kept if name in record}

    def need(self, record: Record, *fields: str) -> list[Any]:
        """The values of fields that a record must have, if only as None.

        Raises: DataError that names all that are missing, and the columns there are.
        """
        missing = [field for field in fields if self.of(field) not in record]
        if missing:
            raise self.complaint(record, fields, missing)
        return [record[self.of(field)] for field in fields]

    def complaint(self, record: Record, fields: Iterable[str], missing: Iterable[str]) -> Lacking:
        """What to say about a record without fields that it needs."""
        needed = ", ".join(f"`{self.of(field)}`" for field in fields)
        found = ", ".join(f"`{name}`" for name in record) or "nothing"
        mapping = ", ".join(f"{field}: COLUMN" for field in missing)
        said, advice = f"{self._format} needs {needed}; found {found}", f"map them with columns={{{mapping}}}"
        return Lacking(said, advice, [self.of(field) for field in missing])
