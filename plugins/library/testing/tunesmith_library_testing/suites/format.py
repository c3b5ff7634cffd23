"""What every data format keeps to."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from tunesmith import DataError

from tunesmith_library_testing.suites.plugin import PluginSuite

_SHAPES = ("text", "messages", "prompt", "chosen")


class FormatSuite(PluginSuite):
    """The tests of a `format` plugin.

    Its class says what it reads, for lists of formats, in the attribute `reads`: columns, divided by commas, and of
    several shapes of records, divided by semicolons: `messages; prompt, completion`. Its static or class method
    `looks_like(record)` says whether a record is of this format; a column that the user mapped is there under the
    format's name. When several formats say yes, the one that needs the most of the record wins, columns and the keys
    inside them, so it looks at all that it needs.
    """

    kind = "format"
    records: ClassVar[list[dict[str, Any]]]  # as they stand in a file
    rows: ClassVar[list[dict[str, Any]]]  # the canonical rows that these records become
    columns: ClassVar[dict[str, str]] = {}  # with which the records are read
    renamed: ClassVar[dict[str, str]] = {}  # a column of the records -> another name under which it is found, too
    wrong_record: ClassVar[dict[str, Any]] = {"colour": "green", "size": 3}  # has none of the columns

    def convert(self, records: Any, columns: dict[str, str] | None = None) -> Any:
        """What the hook gives for records."""
        return self.manager().hook.to_rows(records=records, columns=self.columns if columns is None else columns)

    def test_rows(self) -> None:
        """Each record becomes the row that the test class names."""
        assert self.records and len(self.records) == len(self.rows)
        assert list(self.convert(copy.deepcopy(self.records))) == self.rows

    def test_rows_are_canonical(self) -> None:
        """A row has the ecosystem's names; messages have roles."""
        for row in self.convert(copy.deepcopy(self.records)):
            assert set(row) & set(_SHAPES), f"none of {', '.join(_SHAPES)} in {sorted(row)}"
            for message in row.get("messages", ()):
                assert message["role"] in ("system", "user", "assistant", "tool"), message

    def test_records_stay_as_they_are(self) -> None:
        """The caller's records are not changed."""
        records = copy.deepcopy(self.records)
        list(self.convert(records))
        assert records == self.records

    def test_is_lazy(self) -> None:
        """Rows come while records are read: a data set need not fit in memory."""

        def endless() -> Iterator[dict[str, Any]]:
            for _ in range(1_000):
                yield from copy.deepcopy(self.records)
            pytest.fail("it reads on, and gives no row: yield a row as soon as its record is read")

        rows = self.convert(endless())
        assert list(itertools.islice(rows, 3 * len(self.rows))) == self.rows * 3

    def test_no_records(self) -> None:
        """No records, no rows, no error."""
        assert list(self.convert([])) == []

    def fields(self) -> list[dict[str, Any]]:
        """The records as `looks_like` gets them: with the mapped columns under the format's names."""
        named = [{field: record.get(column) for field, column in self.columns.items()} for record in self.records]
        return [{**record, **fields} for record, fields in zip(copy.deepcopy(self.records), named, strict=True)]

    def test_says_what_it_reads(self) -> None:
        """`reads` lists the columns of each shape of records; the test class has records of one of them at least."""
        reads = getattr(self.plugin, "reads", None)
        assert isinstance(reads, str) and reads.strip(), (
            'say it like reads: ClassVar[str] = "messages; prompt, completion"'
        )
        shapes = [{column.strip() for column in shape.split(",")} for shape in reads.split(";")]
        found = [shape for shape in shapes for record in self.fields() if shape <= record.keys()]
        assert found, f"no record has the columns of {reads!r}; columns are divided by commas, shapes by semicolons"

    def test_looks_like(self) -> None:
        """It says yes, as a class, to each record that it reads, and no to one of another shape."""
        for record in self.fields():
            before = copy.deepcopy(record)
            assert self.plugin.looks_like(record) is True, f"it reads this record, and says no: {record}"  # type: ignore[attr-defined]
            assert record == before, "looks_like changes the record"
        assert self.plugin.looks_like(dict(self.wrong_record)) is False  # type: ignore[attr-defined]

    def test_looks_like_is_asked_about_everything(self) -> None:
        """Records of other formats have other values under the same names: that is a no, never an exception."""
        for record in [{}, *self.fields()]:
            odd: tuple[Any, ...] = (None, "", "[", 3, [], [3], {}, {"a": []})
            for value in odd:
                asked = dict.fromkeys(record, value)
                try:
                    answer = self.plugin.looks_like(asked)  # type: ignore[attr-defined]
                except Exception as error:
                    pytest.fail(f"looks_like({asked!r}) raises {error!r}; a record of another shape is a no")
                assert isinstance(answer, bool), f"looks_like gives {answer!r}"
        assert self.plugin.looks_like({}) is False  # type: ignore[attr-defined]

    def test_wrong_columns(self) -> None:
        """Records of another shape are an error that names the columns they have."""
        with pytest.raises(DataError) as raised:
            list(self.convert([dict(self.wrong_record)]))
        missing = [column for column in self.wrong_record if column not in str(raised.value)]
        assert not missing, f"the error does not name the columns that were found: {raised.value}"

    def test_columns_can_be_renamed(self) -> None:
        """`columns` says where to find what, over the format's own names."""
        if not self.renamed:
            pytest.skip("the test class names no `renamed` columns")
        names = {self.columns.get(column, column): other for column, other in self.renamed.items()}
        records = [{names.get(key, key): value for key, value in record.items()} for record in self.records]
        assert records != self.records, f"`renamed` names no column of the records: {self.renamed}"
        assert list(self.convert(records, {**self.columns, **self.renamed})) == self.rows
