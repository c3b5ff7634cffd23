"""JSON values out of a stream, with little more than one of them in memory, each with the line where it begins."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from tunesmith import DataError
from tunesmith_library_formats import REPEATED_KEY, JsonDecoder, JsonError, count, shorten

_CHUNK = 1 << 20  # characters
_SPACE = re.compile(r"\s*")


def json_records(stream: TextIO, path: Path, lines: bool) -> Iterator[tuple[int, dict[str, Any]]]:
    """The mappings of a JSON file, with the line that each begins in.

    Args:
        stream: the text, with `\\n` at the end of lines.
        lines: whether each line is a value; a file that begins with `[` is a list all the same.

    Raises: DataError that names the line.
    """
    values = _Values(stream, path)
    listed = values.next_character() == "["
    found = values.items() if listed else values.lines() if lines else values.sequence()
    for number, (line, value) in enumerate(found, start=1):
        yield line, _record(value, values.decoder, path, place(line, number if listed else None))


def json_line(text: str, decoder: JsonDecoder, path: Path, line: int) -> dict[str, Any]:
    """The mapping in a line of a JSON Lines file. Raises: DataError that names the line."""
    return _record(_decoded(text, decoder, path, line), decoder, path, place(line, None))


def _record(value: Any, decoder: JsonDecoder, path: Path, where: str) -> dict[str, Any]:
    """A value that must be a mapping."""
    if decoder.repeated:
        count(REPEATED_KEY, first=f"`{decoder.repeated[0]}` in {where}")
        decoder.repeated.clear()
    if not isinstance(value, dict):
        raise DataError(f"{path}, {where}: a record must be a mapping, found {shorten(value)}")
    return value


def _decoded(text: str, decoder: JsonDecoder, path: Path, line: int) -> Any:
    try:
        return decoder.decode(text)
    except JsonError as error:
        column = _column(error.position + 1, error.ended, "line")
        raise DataError(f"{path}, line {line}: {error}{column}") from error


def place(line: int, item: int | None) -> str:
    """Where a record is, for messages; of a list, all of whose records may stand in one line, also which item it is."""
    return f"line {line}" if item is None else f"line {line} (record {item})"


class _Values:
    """The values of a stream."""

    def __init__(self, stream: TextIO, path: Path) -> None:
        self.decoder = JsonDecoder()
        self._stream, self._path = stream, path
        self._text, self._at = "", 0
        self._item: int | None = None  # which one of a list is read
        self._line, self._counted = 1, 0  # the line of the character up to which lines were counted
        self._before = 0  # characters of the first line of `_text` that were dropped

    def next_character(self) -> str:
        """Move to the next character that is not white space; "" at the end."""
        while True:
            self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read_more():
                return ""

    def items(self) -> Iterator[tuple[int, Any]]:
        """The items of a list that starts here."""
        self._at += 1
        if self.next_character() != "]":
            for self._item in itertools.count(1):
                if self.next_character() == "]":
                    self._item -= 1
                    raise self._error("a comma stands behind the last record; take it away", self._at)
                yield self._value()
                separator = self.next_character()
                if separator not in (",", "]"):
                    missing = "the list goes on without a comma" if separator else "the list has no end"
                    raise self._error(missing, self._at, ended=not separator)
                if separator == "]":
                    break
                self._at += 1
        self._at, self._item = self._at + 1, None
        if self.next_character():
            raise self._error("something follows after the list", self._at)

    def sequence(self) -> Iterator[tuple[int, Any]]:
        """Values one after the other."""
        while self.next_character():
            yield self._value()

    def lines(self) -> Iterator[tuple[int, Any]]:
        """One value per line."""
        number = self._line_of(self._at)
        rest = (self._text[self._at :] + self._stream.readline()).split("\n")
        self._text, self._at = "", 0
        for line in self._lines_of(rest):
            if line.strip():
                yield number, _decoded(line, self.decoder, self._path, number)
            number += 1

    def _lines_of(self, first: list[str]) -> Iterator[str]:
        if first and not first[-1]:  # what is behind the last end of a line
            first.pop()
        yield from first
        yield from self._stream

    def _value(self) -> tuple[int, Any]:
        while True:
            try:
                line = self._line_of(self._at)
                value, self._at = self.decoder.decode_at(self._text, self._at)
                return line, value
            except JsonError as error:
                self.decoder.repeated.clear()
                if not error.open or not self._read_more():
                    raise self._error(str(error), error.position, error.ended) from error

    def _read_more(self) -> bool:
        chunk = self._stream.read(max(_CHUNK, len(self._text)))
        if not chunk:
            return False
        self._line_of(self._at)
        self._before = self._column_of(self._at) - 1
        self._text, self._at, self._counted = self._text[self._at :] + chunk, 0, 0
        return True

    def _line_of(self, position: int) -> int:
        """The line of a character; positions must not go back."""
        self._line += self._text.count("\n", self._counted, position)
        self._counted = position
        return self._line

    def _column_of(self, position: int) -> int:
        """Which character of its line one is, counted from 1."""
        begins = self._text.rfind("\n", 0, position) + 1
        return position - begins + 1 + (0 if begins else self._before)

    def _error(self, message: str, position: int, ended: bool = False) -> DataError:
        column = _column(self._column_of(position), ended, "file")
        return DataError(f"{self._path}, {place(self._line_of(position), self._item)}: {message}{column}")


def _column(column: int, ended: bool, what: str) -> str:
    """Where in its line something stands, and whether the line or file ends too early."""
    return f" (column {column})" + (f"; the {what} ends there, as if it were cut short" if ended else "")
