"""Records of data files, one at a time and exactly as they stand there.

JSON is read without Arrow: Arrow gives all records the same keys at every depth, so that the arguments of one tool call
would get the keys of all others, with null, and prompts would show them.
"""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from tunesmith import DataError

SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".txt", ".parquet", ".arrow")
_CHUNK = 1 << 20  # characters
_SPACE = re.compile(r"\s*")


def is_data_file(path: Path) -> bool:
    """Whether the name is one that `read_records` can read."""
    return suffix_of(path) in SUFFIXES


def suffix_of(path: Path) -> str:
    """The suffix that says what is in a file: `.json` of `a.json.gz`."""
    return (path.with_suffix("") if path.suffix.lower() == ".gz" else path).suffix.lower()


def read_records(path: Path, sample_by: str = "line") -> Iterator[dict[str, Any]]:
    """Read a data file lazily.

    Args:
        path: JSON (a list, or values one after the other), JSON Lines, CSV, TSV, text, Parquet or Arrow; all but the
            last two may be gzipped.
        sample_by: whether a `line` of a text file is a record, blank ones left out, or the whole `document`.

    Raises: DataError that names the file and the line.
    """
    suffix = suffix_of(path)
    if suffix in (".parquet", ".arrow"):
        yield from _arrow_records(path)
        return
    try:
        with _open(path) as stream:
            if suffix in (".json", ".jsonl", ".ndjson"):
                yield from _json_records(stream, path)
            elif suffix in (".csv", ".tsv"):
                yield from _csv_records(stream, path)
            elif suffix == ".txt":
                yield from _text_records(stream, sample_by)
            else:
                raise DataError(f"{path}: cannot read {suffix or 'a file without suffix'}\n  possible: {names()}")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}); convert it with iconv") from error
    except (OSError, EOFError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def names() -> str:
    """The suffixes of data files, for messages."""
    return ", ".join(SUFFIXES)


def _open(path: Path) -> TextIO:
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return open(path, encoding="utf-8-sig", newline="")


def _text_records(stream: TextIO, sample_by: str) -> Iterator[dict[str, Any]]:
    if sample_by == "document":
        yield {"text": stream.read()}
        return
    for line in stream:
        if line.strip():
            yield {"text": line.rstrip("\r\n")}


def _csv_records(stream: TextIO, path: Path) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(sys.maxsize)
    reader = csv.DictReader(stream, delimiter="\t" if suffix_of(path) == ".tsv" else ",", strict=True)
    try:
        for record in reader:
            if None in record:
                raise DataError(f"{path}, line {reader.line_num}: more values than the {len(record) - 1} columns")
            yield record
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from error


def _json_records(stream: TextIO, path: Path) -> Iterator[dict[str, Any]]:
    values = _JsonValues(stream, path)
    if values.next_character() == "[":
        found = values.items()
    elif suffix_of(path) == ".json":
        found = values.sequence()
    else:
        found = values.lines()
    for index, value in enumerate(found):
        if not isinstance(value, dict):
            raise DataError(f"{path}: record {index} must be a mapping, found {str(value)[:60]!r}")
        yield value


class _JsonValues:
    """JSON values out of a stream, with little more than one of them in memory."""

    def __init__(self, stream: TextIO, path: Path) -> None:
        self._stream, self._path = stream, path
        self._text, self._at = "", 0
        self._lines = 0  # in what was dropped from the text
        self._decode = json.JSONDecoder().raw_decode

    def next_character(self) -> str:
        """Move to the next character that is not white space; "" at the end."""
        while True:
            self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read_more():
                return ""

    def items(self) -> Iterator[Any]:
        """The items of a list that starts here."""
        self._at += 1
        if self.next_character() == "]":
            return
        while True:
            self.next_character()
            yield self._value()
            separator = self.next_character()
            if separator not in (",", "]"):
                raise self._error("the list goes on without a comma" if separator else "the list has no end", self._at)
            self._at += 1
            if separator == "]":
                break
        if self.next_character():
            raise self._error("something follows after the list", self._at)

    def sequence(self) -> Iterator[Any]:
        """Values one after the other."""
        while self.next_character():
            yield self._value()

    def lines(self) -> Iterator[Any]:
        """One value per line."""
        rest = self._text[self._at :] + self._stream.readline()
        first = self._lines + self._text.count("\n", 0, self._at) + 1
        lines = itertools.chain(io.StringIO(rest), self._stream)
        for number, line in enumerate(lines, start=first):
            if line.strip():
                try:
                    yield json.loads(line)
                except json.JSONDecodeError as error:
                    raise DataError(f"{self._path}, line {number}: {error.msg} (column {error.colno})") from error

    def _value(self) -> Any:
        while True:
            try:
                value, self._at = self._decode(self._text, self._at)
                return value
            except json.JSONDecodeError as error:
                if not self._read_more():
                    raise self._error(error.msg, error.pos) from error

    def _read_more(self) -> bool:
        chunk = self._stream.read(max(_CHUNK, len(self._text)))
        if not chunk:
            return False
        self._lines += self._text.count("\n", 0, self._at)
        self._text, self._at = self._text[self._at :] + chunk, 0
        return True

    def _error(self, message: str, position: int) -> DataError:
        line = self._lines + self._text.count("\n", 0, position) + 1
        return DataError(f"{self._path}, line {line}: {message}")


def _arrow_records(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow

    try:
        for batch in _arrow_batches(path):
            for record in batch.to_pylist():
                yield {name: _without_null(value) for name, value in record.items()}
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _arrow_batches(path: Path) -> Iterator[Any]:
    import pyarrow.ipc
    import pyarrow.parquet

    if path.suffix == ".parquet":
        yield from pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=1000)
        return
    with pyarrow.memory_map(str(path)) as source:
        if source.read(6) == b"ARROW1":
            reader = pyarrow.ipc.open_file(source)
            yield from (reader.get_batch(index) for index in range(reader.num_record_batches))
        else:
            source.seek(0)
            yield from pyarrow.ipc.open_stream(source)


def _without_null(value: Any) -> Any:
    """Take the nulls out of nested mappings: Arrow put them there for keys that only other records have."""
    if isinstance(value, Mapping):
        return {name: _without_null(item) for name, item in value.items() if item is not None}
    return [_without_null(item) for item in value] if isinstance(value, list) else value
