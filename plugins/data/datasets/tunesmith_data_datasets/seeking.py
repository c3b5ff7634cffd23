"""Reading on in a data file where a record begins, without parsing what stands before it.

Lines of JSON and of text are found by the byte where they begin, rows of Parquet and Arrow by their number. Of other
files, and where a line is not as it was, the records before are read and dropped.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tunesmith import DataError
from tunesmith.messages import logger
from tunesmith_library_formats import JsonDecoder

from . import compressed
from .json_values import json_line, place
from .reading import not_utf8, read_records, suffix_of

_BOM = b"\xef\xbb\xbf"
_READ = 1 << 20  # bytes


@dataclass(frozen=True)
class Mark:
    """Where a record of a file begins."""

    record: int = 0  # records before it
    line: int = 0  # lines before it
    offset: int = 0  # bytes before its line, once decompressed
    check: str = ""  # digest of its line; empty where there are no lines


class Cursor(Iterator[dict[str, Any]]):
    """The records of a file from a mark on.

    While it is read: DataError that names the file and the line or row.
    """

    place = ""
    """Where the last record is."""

    def mark(self) -> Mark:
        """Where the last record begins."""
        raise NotImplementedError

    def skip(self) -> bool:
        """Pass over a record, without parsing it where that can be. Gives whether there was one."""
        return next(self, None) is not None


def cursor(path: Path, sample_by: str, mark: Mark | None = None) -> Cursor:
    """Read a file from a mark on, or from its beginning.

    Args:
        sample_by: of text files, see `reading.Records`.
    """
    mark = mark or Mark()
    suffix = suffix_of(path)
    try:
        if suffix in (".jsonl", ".ndjson") and not _is_list(path):
            return _Lines(path, mark, JsonDecoder())
        if suffix == ".txt" and sample_by == "line":
            return _Lines(path, mark, None)
    except compressed.ERRORS as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    return _Others(path, sample_by, mark)


def _is_list(path: Path) -> bool:
    with compressed.open_bytes(path) as stream:
        start = stream.read(_READ).removeprefix(_BOM).lstrip()
    return start.startswith(b"[")


class _Lines(Cursor):
    """A record a line; blank ones are left out.

    Args:
        decoder: of JSON; None takes the line for a text.
    """

    def __init__(self, path: Path, mark: Mark, decoder: JsonDecoder | None) -> None:
        self._path, self._decoder = path, decoder
        self._stream: IO[bytes] = compressed.open_bytes(path)
        self._records, self._number, self._offset = mark.record, mark.line, mark.offset
        self._last = (mark, b"")
        _forward(self._stream, mark.offset)
        self._lines: Iterator[tuple[int, int, bytes]] = self._every_line()
        if mark.check:
            self._find(mark)

    def _find(self, mark: Mark) -> None:
        """Make sure that the line at a mark is the one that was there; else count to it from the beginning."""
        found = next(self._lines, None)
        if found is None or _digest(found[2]) != mark.check:
            logger.warning("%s has changed; its records are counted from the beginning", self._path)
            self._stream.close()
            self._stream = compressed.open_bytes(self._path)
            self._records = self._number = self._offset = 0
            self._lines = self._every_line()
            while self._records < mark.record and self.skip():
                pass
            return
        self._lines = itertools.chain([found], self._lines)

    def _every_line(self) -> Iterator[tuple[int, int, bytes]]:
        """The lines that are not blank: how many are before each, the byte where it begins, and the line."""
        while raw := self._read():
            offset, self._offset = self._offset, self._offset + len(raw)
            if not offset and raw.startswith(_BOM):
                raw, offset = raw[len(_BOM) :], len(_BOM)
            for line in raw.splitlines(keepends=True):  # a carriage return alone ends a line, too
                self._number += 1
                if not _is_blank(line):
                    yield self._number - 1, offset, line
                offset += len(line)

    def _read(self) -> bytes:
        try:
            return self._stream.readline()
        except compressed.ERRORS as error:
            raise DataError(f"{self._path} cannot be read: {error}") from error

    def __next__(self) -> dict[str, Any]:
        line, offset, raw = next(self._lines)
        self._last = (Mark(self._records, line, offset), raw)
        self._records += 1
        self.place = place(line + 1, None)
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            raise not_utf8(self._path, error) from error
        if self._decoder is None:
            return {"text": text.rstrip("\r\n")}
        return json_line(text, self._decoder, self._path, line + 1)

    def skip(self) -> bool:
        found = next(self._lines, None) is not None
        self._records += found
        return found

    def mark(self) -> Mark:
        mark, raw = self._last
        return Mark(mark.record, mark.line, mark.offset, _digest(raw))


class _Others(Cursor):
    """What is read by number."""

    def __init__(self, path: Path, sample_by: str, mark: Mark) -> None:
        self._records = read_records(path, sample_by, first=mark.record)
        self._number = mark.record

    def __next__(self) -> dict[str, Any]:
        record = next(self._records)
        self.place = self._records.place
        self._number += 1
        return record

    def mark(self) -> Mark:
        return Mark(self._number - 1)


def _is_blank(line: bytes) -> bool:
    """Whether a line is white space, of which some is not ASCII."""
    start = line.lstrip()[:1]
    return not start or (start >= b"\x80" and not line.decode(errors="replace").strip())


def _forward(stream: IO[bytes], count: int) -> None:
    """Go on by a number of bytes."""
    if stream.seekable():
        stream.seek(count)
        return
    while count and (read := stream.read(min(count, _READ))):
        count -= len(read)


def _digest(line: bytes) -> str:
    return hashlib.blake2b(line, digest_size=8).hexdigest()
