"""Records of data files, one at a time and exactly as they stand there, each with its place.

JSON is read without Arrow: Arrow gives all records the same keys at every depth, so that the arguments of one tool call
would get the keys of all others, with null, and prompts would show them.
"""

from __future__ import annotations

import csv
import io
import itertools
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from tunesmith import DataError
from tunesmith_library_formats import count, shorten

from . import compressed
from .json_values import json_records, place

SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".txt", ".parquet", ".arrow")
_JSON, _TABLES, _ARROW = SUFFIXES[:3], SUFFIXES[3:5], SUFFIXES[6:]
_SEPARATORS = ("\t", ";", "|", ",")  # of columns, those that are seldom in a name first
_SUFFIX_OF = {",": ".csv", "\t": ".tsv"}
_MAGIC = {**compressed.MAGIC, b"PAR1": "Parquet", b"ARROW1": "Arrow", b"PK": "a zip archive"}

Numbered = Iterator[tuple[int, dict[str, Any]]]
"""Records with the number of their line or row."""


def is_data_file(path: Path) -> bool:
    """Whether the name is one that `read_records` can read."""
    return suffix_of(path) in SUFFIXES


def suffix_of(path: Path) -> str:
    """The suffix that says what is in a file: `.json` of `a.json.gz`."""
    return compressed.without_suffix(path).suffix.lower()


class Records(Iterator[dict[str, Any]]):
    """The records of a data file, read lazily.

    Args:
        path: JSON (a list, or values one after the other), JSON Lines, CSV, TSV, text, Parquet or Arrow; all but the
            last two may be compressed, see `compressed`.
        sample_by: whether a `line` of a text file is a record, blank ones left out, or the whole `document`.
        most: how many are read; None reads all.
        first: how many are passed over before; of Parquet and Arrow without reading them.
    """

    def __init__(self, path: Path, sample_by: str = "line", most: int | None = None, first: int = 0) -> None:
        self.path = path
        self._number, self._item = 0, first
        seeks = suffix_of(path) in _ARROW
        numbered = _numbered(path, sample_by, first if seeks else 0)
        start = 0 if seeks else first
        self._records = itertools.islice(numbered, start, None if most is None else start + most)

    @property
    def place(self) -> str:
        """Where the last record is: `line 7`, `line 7 (record 2)` of a JSON file, or `row 7` where there are no lines;
        all count from 1."""
        suffix = suffix_of(self.path)
        return (
            f"row {self._number}"
            if suffix in _ARROW
            else place(self._number, self._item if suffix == ".json" else None)
        )

    def __next__(self) -> dict[str, Any]:
        self._number, record = next(self._records)
        self._item += 1
        return record


def read_records(path: Path, sample_by: str = "line", most: int | None = None, first: int = 0) -> Records:
    """Read a data file lazily, see `Records`. While it is read: DataError that names the file and the line."""
    return Records(path, sample_by, most, first)


def names() -> str:
    """The suffixes of data files, for messages."""
    return ", ".join(SUFFIXES) + "; compressed as .gz, .bz2, .xz, .zst; in archives .zip, .tar"


def _numbered(path: Path, sample_by: str, first: int = 0) -> Numbered:
    suffix = suffix_of(path)
    try:
        if suffix in _ARROW:
            yield from enumerate(_arrow_records(path, first), start=first + 1)
            return
        with _open(path, suffix) as stream:
            if suffix in _JSON:
                yield from json_records(stream, path, lines=suffix != ".json")
            elif suffix in _TABLES:
                yield from _csv_records(stream, path, suffix)
            elif suffix == ".txt":
                yield from _text_records(stream, sample_by)
            else:
                raise DataError(f"{path}: cannot read {suffix or 'a file without suffix'}\n  possible: {names()}")
    except UnicodeDecodeError as error:
        try:
            fault = not_utf8(path, error)
            compressed.verify(path)
        except compressed.ERRORS as damage:  # of which what is no UTF-8 came
            raise DataError(f"{path} cannot be read: {damage}") from damage
        raise fault from error
    except compressed.ERRORS as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _open(path: Path, suffix: str) -> TextIO:
    """A stream of text. Line ends inside of JSON are white space, and read as one kind; elsewhere they stay."""
    newline = None if suffix in _JSON else ""
    return io.TextIOWrapper(compressed.open_bytes(path), encoding="utf-8-sig", newline=newline)


def not_utf8(path: Path, error: UnicodeDecodeError) -> DataError:
    """What to say of a file that is no UTF-8: the line and the byte, or what it is instead."""
    with compressed.open_bytes(path) as stream:
        start = stream.read(8)
        for magic, what in _MAGIC.items():
            if start.startswith(magic):
                return DataError(f"{path} is no text but {what}; name it so")
        if start.startswith((b"\xff\xfe", b"\xfe\xff")):
            return DataError(f"{path} is UTF-16; convert it: iconv -f UTF-16 -t UTF-8 {path.name}")
        stream.seek(0)
        for number, line in enumerate(stream, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as found:
                byte = line[found.start]
                where = f"line {number}, byte {found.start + 1} of it (0x{byte:02x}: {found.reason})"
                return DataError(f"{path}, {where}: this is not UTF-8; convert the file with iconv, or mend the line")
    return DataError(f"{path} is not UTF-8 ({error.reason}); convert it with iconv")


def _text_records(stream: TextIO, sample_by: str) -> Numbered:
    if sample_by == "document":
        text = stream.read()
        if text.strip():
            yield 1, {"text": text}
        return
    for number, line in enumerate(stream, start=1):
        if line.strip():
            yield number, {"text": line.rstrip("\r\n")}


def _csv_records(stream: TextIO, path: Path, suffix: str) -> Numbered:
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(stream, delimiter="\t" if suffix == ".tsv" else ",", strict=True)
    last = 0
    try:
        columns = next(filter(None, reader), [])
        last = reader.line_num
        _refuse_repeated(columns, path)
        _refuse_separator(columns, path, reader.dialect.delimiter)
        while (values := next(reader, None)) is not None:
            last, line = reader.line_num, last + 1
            if len(values) > len(columns):
                raise DataError(f"{path}, line {line}: more values than the {len(columns)} columns")
            if not values:
                continue
            if len(values) < len(columns):
                count("have fewer values than there are columns, which are null then", first=f"line {line}")
                values += [None] * (len(columns) - len(values))  # type: ignore[list-item]
            yield line, dict(zip(columns, values, strict=True))
    except csv.Error as error:
        raise DataError(f"{path}, line {last + 1}: {error}") from error


def _refuse_repeated(columns: list[str], path: Path) -> None:
    """Raises: DataError for columns of one name: only the last would be read."""
    for name in columns:
        if columns.count(name) > 1:
            raise DataError(f"{path} has {columns.count(name)} columns with the name {shorten(name)!r}\n  rename them")


def _refuse_separator(columns: list[str], path: Path, separator: str) -> None:
    """Raises: DataError for a single column whose name is that of several, which something else separates."""
    other = next((mark for mark in _SEPARATORS if mark in columns[0]), None) if len(columns) == 1 else None
    if other is None or other == separator:
        return
    names = ", ".join(name.strip() for name in columns[0].split(other))
    said = f"{path} has a single column, {shorten(columns[0])!r}: its columns {names} are separated by {other!r}"
    if other in _SUFFIX_OF:
        raise DataError(f"{said}\n  give the file a name that ends in {_SUFFIX_OF[other]}")
    program = f"import csv, sys; csv.writer(sys.stdout).writerows(csv.reader(sys.stdin, delimiter={other!r}))"
    rewritten = shlex.quote(f"{path.stem}_comma.csv")
    raise DataError(
        f"{said}, and not by {separator!r}; write commas instead:\n"
        f"  python -c {shlex.quote(program)} < {shlex.quote(str(path))} > {rewritten}"
    )


def _arrow_records(path: Path, first: int) -> Iterator[dict[str, Any]]:
    """The records from the one at place `first` on."""
    import pyarrow

    rows = first
    try:
        for number, batch in enumerate(_arrow_batches(path, first)):
            if not number:
                _refuse_repeated(batch.schema.names, path)
            for record in _rows_of(batch):
                rows += 1
                yield {name: _without_null(value) for name, value in record.items()}
    except pyarrow.ArrowException as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    except (UnicodeDecodeError, ValueError, OverflowError) as error:
        raise DataError(f"{path}, row {rows + 1} cannot be read: {error}") from error


def rows_of_table(path: Path) -> int | None:
    """How many rows a Parquet or Arrow file says that it has; None for another file.

    Raises: DataError when it cannot be read.
    """
    import pyarrow
    import pyarrow.parquet

    if suffix_of(path) not in _ARROW:
        return None
    try:
        if path.suffix.lower() == ".parquet":
            count: int = pyarrow.parquet.read_metadata(path).num_rows
            return count
        return sum(int(batch.num_rows) for batch in _arrow_batches(path, 0))
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _rows_of(batch: Any) -> Iterator[dict[str, Any]]:
    """The rows of a batch; where one cannot be read, those before it, one by one."""
    try:
        yield from batch.to_pylist()
    except (UnicodeDecodeError, ValueError, OverflowError):
        for index in range(batch.num_rows):
            yield from batch.slice(index, 1).to_pylist()


def _arrow_batches(path: Path, first: int) -> Iterator[Any]:
    """The batches from the row at place `first` on."""
    import pyarrow.ipc
    import pyarrow.parquet

    if path.suffix.lower() == ".parquet":
        file = pyarrow.parquet.ParquetFile(path)
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        groups = range(file.num_row_groups)
        while groups and first >= sizes[groups[0]]:
            first -= sizes[groups[0]]
            groups = groups[1:]
        yield from _behind(file.iter_batches(batch_size=1000, row_groups=list(groups)), first)
        return
    with pyarrow.memory_map(str(path)) as source:
        if source.read(6) == b"ARROW1":
            reader = pyarrow.ipc.open_file(source)
            yield from _behind((reader.get_batch(index) for index in range(reader.num_record_batches)), first)
        else:
            source.seek(0)
            yield from _behind(pyarrow.ipc.open_stream(source), first)


def _behind(batches: Iterable[Any], first: int) -> Iterator[Any]:
    """The batches without their first rows."""
    for batch in batches:
        if first < batch.num_rows:
            yield batch.slice(first)
        first = max(first - batch.num_rows, 0)


def _without_null(value: Any) -> Any:
    """Take the nulls out of nested mappings: Arrow put them there for keys that only other records have."""
    if isinstance(value, Mapping):
        return {name: _without_null(item) for name, item in value.items() if item is not None}
    return [_without_null(item) for item in value] if isinstance(value, list) else value
