"""Any line of a large text file at once: where lines begin is noted block by block, once for each state of a file."""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

from tunesmith.files import replacing

_BLOCK = 1 << 20  # bytes; 1 GB has a thousand of them
_KEPT = 16  # blocks from which on an index is kept


class Lines:
    """The lines of a file, by their numbers from 1. What it knows of a file holds until that changes.

    Args:
        path: a text file.
        folder: where the index is kept; None keeps it in memory.
    """

    def __init__(self, path: Path, folder: Path | None = None) -> None:
        self.path = path
        about = path.stat()
        self.size, modified = about.st_size, about.st_mtime_ns
        kept = folder and folder / f"{_digest(path, self.size, modified)}.lines"
        self._before = _read(kept) if kept else None  # line ends before each block, and at last all of them
        if self._before is None:
            self._before = _count(path)
            if kept and len(self._before) > _KEPT:
                with replacing(kept) as draft:
                    draft.write_bytes(self._before.tobytes())
        self.count = self._before[-1] + (not _ends_a_line(path, self.size))

    def read(self, first: int, most: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Lines with their numbers, from one on, without their ends."""
        if first > self.count:
            return
        with self.path.open("rb") as stream:
            stream.seek(self._start(first))
            for number in range(first, self.count + 1 if most is None else min(first + most, self.count + 1)):
                yield number, stream.readline().rstrip(b"\r\n")

    def _start(self, number: int) -> int:
        """The place at which a line begins: behind the end of the one before."""
        end = number - 1
        if end <= 0:
            return 0
        assert self._before is not None
        block = bisect_left(self._before, end) - 1
        with self.path.open("rb") as stream:
            stream.seek(block * _BLOCK)
            content = stream.read(_BLOCK)
        place = -1
        for _ in range(end - self._before[block]):
            place = content.find(b"\n", place + 1)
        return block * _BLOCK + place + 1


def _count(path: Path) -> array[int]:
    before, total = array("Q", [0]), 0
    with path.open("rb", buffering=0) as stream:
        while block := stream.read(_BLOCK):
            while len(block) < _BLOCK and (more := stream.read(_BLOCK - len(block))):
                block += more
            total += block.count(b"\n")
            before.append(total)
    return before


def _read(kept: Path) -> array[int] | None:
    if not kept.is_file():
        return None
    before: array[int] = array("Q")
    before.frombytes(kept.read_bytes())
    return before


def _ends_a_line(path: Path, size: int) -> bool:
    """Whether nothing stands behind the last line end."""
    if not size:
        return True
    with path.open("rb") as stream:
        stream.seek(size - 1)
        return stream.read(1) == b"\n"


def _digest(path: Path, size: int, modified: int) -> str:
    return hashlib.sha256(f"{path}\0{size}\0{modified}".encode()).hexdigest()[:32]
