"""Records of any data file by their numbers: JSON Lines as it lies there, everything else by a copy in JSON Lines."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tunesmith import DataError, TunesmithError
from tunesmith.files import replacing

from .lines import Lines

LINES = (".jsonl", ".ndjson")
SUFFIXES = (*LINES, ".json", ".csv", ".tsv", ".txt", ".parquet", ".arrow")
PACKED = (".gz", ".bz2", ".xz", ".zst")
_SMALL = 4 << 20  # bytes of a JSON file that is read without another process
_DAMAGED = 64 << 20  # bytes of a damaged JSON file whose beginning is shown
_SEARCH = 3.0  # seconds that one search may take

Unpack = Callable[[str, Path], Any]
"""Writes the records of a data set, by its path or name, to a file of JSON Lines."""


@dataclass(frozen=True)
class Found:
    """A record as it stands in a file."""

    row: int  # from 1; of JSON Lines the line
    record: Any  # what JSON says; None where the line is none
    text: str  # the line
    fault: str = ""  # why it is no record

    @property
    def is_blank(self) -> bool:
        """Whether there is nothing in the line."""
        return not self.text.strip()


def suffix_of(path: Path) -> str:
    """The suffix that says what is in a file: `.json` of `a.json.gz`."""
    return Path(path.stem).suffix.lower() if path.suffix.lower() in PACKED else path.suffix.lower()


def is_data(path: Path) -> bool:
    """Whether a file's name is one of data."""
    return suffix_of(path) in SUFFIXES


class Opened:
    """The records of one data set.

    Args:
        lines: of a file of JSON Lines.
    """

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.count = lines.count

    def at(self, rows: Iterable[int]) -> list[Found]:
        """Some records by their numbers; those that are not there are left out."""
        inside = [row for row in rows if 1 <= row <= self.count]
        return [found(*line) for row in inside for line in self.lines.read(row, 1)]

    def page(self, first: int, most: int) -> list[Found]:
        """Records from a number on."""
        return [found(*line) for line in self.lines.read(max(1, first), most)]

    def all(self) -> Iterator[Found]:
        """Every record."""
        return (found(*line) for line in self.lines.read(1))

    def search(
        self,
        words: str,
        first: int,
        most: int,
        fits: Callable[[int, bytes], bool] | None = None,
        changed: Mapping[int, bytes] = MappingProxyType({}),
    ) -> tuple[list[Found], int | None]:
        """Records with a text, whatever its case, from a number on; and from where to go on, None at the end.

        A search ends after three seconds, too, so that one in a large file can be stopped and shows what it has.

        Args:
            fits: what else must be so of a record, by its number and line.
            changed: lines that stand in place of those of the file, while it is searched.
        """
        finds = _finder(words)
        hits: list[Found] = []
        until = time.monotonic() + _SEARCH
        for number, as_was in self.lines.read(max(1, first)):
            line = changed.get(number, as_was)
            if len(hits) == most or (number % 512 == 0 and time.monotonic() > until):
                return hits, number
            if (fits is None or fits(number, line)) and finds(line):
                hits.append(found(number, as_was))
        return hits, None


def text_of(line: bytes) -> str:
    """A line as text; bytes that are none are told as such."""
    return line.decode("utf-8-sig", "replace")


def found(row: int, line: bytes) -> Found:
    """What stands in a line."""
    text = text_of(line)
    if not text.strip():
        return Found(row, None, text)
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Found(row, None, text, f"line {row} is no JSON: {error}")
    if not isinstance(record, dict):
        return Found(row, None, text, f"line {row} is no record: a JSON object is needed")
    return Found(row, record, text)


def _finder(words: str) -> Callable[[bytes], bool]:
    """Finds a text as it is, and as JSON may write it: with \\u escapes and with escaped quotes.

    Letters of ASCII are the same in both cases; a regular expression for that would be ten times as slow.
    """
    if not words:
        return lambda line: True
    plain = json.dumps(words, ensure_ascii=False)[1:-1]
    forms = {form.encode().lower() for form in (words, plain, json.dumps(words)[1:-1])}

    def finds(line: bytes) -> bool:
        lower = line.lower()
        return any(form in lower for form in forms)

    return finds


def open_file(path: Path, shown: str, state: Path, unpack: Unpack) -> Opened:
    """Open a data file; JSON Lines needs no copy, a copy is made once for each state of the file.

    Args:
        shown: the path as a command has it.
        state: the folder of indexes and copies.

    Raises: DataError where it is none; what `unpack` raises.
    """
    if not path.is_file():
        raise DataError(f"{shown}: there is no such file")
    if not is_data(path):
        raise DataError(f"{shown}: no data file by its name\n  possible: {', '.join(SUFFIXES)}, also compressed")
    if path.suffix.lower() in LINES:
        return Opened(Lines(path, state))
    about = path.stat()
    copy = state / f"{digest(shown, about.st_size, about.st_mtime_ns)}.jsonl"
    if not copy.is_file():
        records = small_list(path) if about.st_size <= _SMALL else None
        if records is None:
            _unpack(path, shown, copy, unpack)
        else:
            write_lines(copy, records)
    return Opened(Lines(copy, state))


def _unpack(path: Path, shown: str, copy: Path, unpack: Unpack) -> None:
    """Make a copy in JSON Lines; of a damaged JSON list, of what stands before the damage, and of the rest as it is."""
    try:
        unpack(shown, copy)
    except TunesmithError:
        whole = suffix_of(path) == ".json" and path.suffix == ".json" and path.stat().st_size <= _DAMAGED
        records, rest = beginning(path.read_text("utf-8-sig", "replace")) if whole else ([], "")
        if not records:
            raise
        with replacing(copy) as draft:
            lines = [*(json.dumps(record, ensure_ascii=False) for record in records), " ".join(rest.split())]
            draft.write_text("\n".join(lines) + "\n", "utf-8", newline="\n")


def beginning(text: str) -> tuple[list[Any], str]:
    """The items of a JSON list that is broken somewhere, up to there; and the text from there on."""
    decode, items, at = json.JSONDecoder().raw_decode, list[Any](), len(text) - len(text.lstrip())
    separator = "["
    while text.startswith(separator, at):
        start = at + len(separator)
        start += len(text[start:]) - len(text[start:].lstrip())
        try:
            item, end = decode(text, start)
        except (ValueError, RecursionError):
            break
        items.append(item)
        at, separator = end + len(text[end:]) - len(text[end:].lstrip()), ","
    return items, text[at:] or "(the list has no end)"


def small_list(path: Path) -> list[Any] | None:
    """The records of a small JSON file that is a list; None of anything else, which is left to its reader."""
    if path.suffix.lower() != ".json":
        return None
    try:
        content = json.loads(path.read_text("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, list) and all(isinstance(item, dict) for item in content) else None


def write_lines(path: Path, records: Sequence[Any]) -> None:
    """Write records as JSON Lines; the file is there once all are."""
    with replacing(path) as draft, draft.open("w", encoding="utf-8", newline="\n") as stream:
        for record in records:
            stream.write(json.dumps(record, ensure_ascii=False) + "\n")


def digest(*parts: Any) -> str:
    """A name for what depends on some values."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:32]
