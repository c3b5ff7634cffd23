"""What a run logged, read once and then only what was added, also while it is written."""

from __future__ import annotations

import contextlib
import csv
import json
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from tunesmith import TunesmithError
from tunesmith_library_plotting.reading import file_of

from tunesmith_library_studio.watching import keeping
from tunesmith_library_studio.watching.columns import Columns

_AT_A_TIME = 1 << 20  # bytes that are parsed at a time
_HEAD = 256  # bytes by which a file is known that was written anew under the same number
_GROUPS = {"train/": "", "eval/": "eval_", "test/": "test_"}  # names of tracker.csv, and what they are called here
_PATIENCE = 20.0  # a file that is read as a whole is read again after so many times of what that took


class Recording:
    """The numbers of one run's folder, or of a file of its own; `look` brings them up to date.

    Args:
        kept: folder in which what was read of long files is kept; None keeps nothing.

    Raises: TunesmithError when there is no file of metrics.
    """

    def __init__(self, run: Path, kept: Path | None = None) -> None:
        self.file = run if run.is_file() else metrics_file(run)
        self.columns = Columns()
        self.generation = 0  # counts how often what was there was no longer so
        self._lock = threading.RLock()
        self._known: tuple[int, bytes] | None = None  # the file's number and its first bytes
        self._offset = 0
        self._place = None if kept is None else keeping.place_of(kept, self.file)
        self._kept = 0  # bytes of the file that are kept
        self._seen = (0, 0)  # size and time of change of a file that is read as a whole
        self._next = 0.0  # when it may be read again

    def look(self) -> Columns:
        """Read what was added. Any thread may call it.

        Raises: TunesmithError when the file is gone.
        """
        with self._lock:
            try:
                before = self.columns.rewound
                if self.file.suffix == ".jsonl":
                    self._read_on()
                else:
                    self._read_whole()
                self.generation += self.columns.rewound != before
            except FileNotFoundError as error:
                raise TunesmithError(f"{self.file} is gone: the run was deleted, or its folder moved.") from error
            return self.columns

    @contextlib.contextmanager
    def held(self) -> Iterator[Columns]:
        """What was read, which no other thread changes meanwhile."""
        with self._lock:
            yield self.columns

    def _read_on(self) -> None:
        if self._place and self._known is None and (found := keeping.kept(self._place, self.file)):
            self.columns, self._offset, self._known = found.columns, found.offset, (found.number, found.head)
            self._kept = self._offset
        with self.file.open("rb") as file:
            head = file.read(_HEAD)
            number = file.seek(0, 2) and self.file.stat().st_ino
            other = self._known is not None and (number, head[: len(self._known[1])]) != self._known
            if other or file.tell() < self._offset:
                self._forget()
            self._known = (number, head)
            file.seek(self._offset)
            for lines in _whole_lines(file):
                self.columns.take(_records(lines))
                self._offset += sum(map(len, lines))
        if self._place and self._offset - self._kept >= keeping.LONG:
            keeping.keep(self._place, self.file, keeping.Read(self.columns, self._offset, *self._known))
            self._kept = self._offset

    def _read_whole(self) -> None:
        told = self.file.stat()
        if (told.st_size, told.st_mtime_ns) == self._seen or time.monotonic() < self._next:
            return
        began = time.monotonic()
        self._forget()
        self.columns.take(_rows(self.file) if self.file.suffix == ".csv" else _history(self.file))
        self._seen = (told.st_size, told.st_mtime_ns)
        self._next = time.monotonic() + _PATIENCE * (time.monotonic() - began)

    def _forget(self) -> None:
        if self.columns:
            self.generation += 1
        self.columns, self._offset, self._kept = Columns(), 0, 0


def metrics_file(run: Path) -> Path:
    """Where a run's folder has its numbers: what `tunesmith plot` reads, else a table of tracker.csv.

    Raises: TunesmithError when there is none.
    """
    try:
        return file_of(run)
    except TunesmithError:
        tables = sorted(run.glob("*/metrics.csv")) if run.is_dir() else []
        if not tables:
            raise
        return tables[0]


def _whole_lines(file: BinaryIO) -> Iterator[list[bytes]]:
    """Lines that are finished, some MB at a time. One that is not ends them, also where more was written meanwhile."""
    unfinished = False
    while not unfinished and (lines := file.readlines(_AT_A_TIME)):
        unfinished = not lines[-1].endswith(b"\n") and not _is_whole(lines[-1])
        if unfinished:
            lines.pop()
        yield lines


def _is_whole(line: bytes) -> bool:
    """Whether a line without an end is all that will come, as where another program leaves out the last line's end."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _records(lines: list[bytes]) -> list[dict[str, Any]]:
    import msgspec

    try:
        found = msgspec.json.Decoder().decode_lines(b"".join(lines))
    except (msgspec.DecodeError, UnicodeDecodeError):
        found = list(_one_by_one(lines))
    return [record for record in found if isinstance(record, dict)]


def _one_by_one(lines: Iterable[bytes]) -> Iterator[Any]:
    """For files with a line that is no JSON, or has the NaN of Python, which others refuse."""
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            continue


def _history(file: Path) -> list[dict[str, Any]]:
    """The records of transformers' state of a Trainer; none while it is being written."""
    try:
        history = json.loads(file.read_bytes())["log_history"]
        return [record for record in history if isinstance(record, dict)]
    except (ValueError, KeyError, TypeError):
        return []


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    """The records of tracker.csv, of which each has the columns that it fills."""
    with file.open(encoding="utf-8", newline="", errors="replace") as lines:
        for row in csv.DictReader(lines):
            if (row.get("step") or "").isdecimal():
                own = {_name(name): value for name, value in row.items() if value and name not in (None, "step")}
                yield {"step": int(row["step"]), **{name: _float(value) for name, value in own.items()}}


def _name(name: str) -> str:
    return next((short + name.removeprefix(group) for group, short in _GROUPS.items() if name.startswith(group)), name)


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
