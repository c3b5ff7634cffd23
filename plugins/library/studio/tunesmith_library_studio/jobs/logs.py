"""A log that is written while it is read, and may be of any length: parts of it by their place in the file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_PART = 1 << 16  # bytes that are read at once


@dataclass(frozen=True)
class Part:
    """Some whole lines of a log."""

    text: str  # lines, with what a progress bar wrote over itself left out
    unfinished: str  # the line that has no end yet, such as a progress bar's; it comes again
    start: int  # the place of the first byte
    offset: int  # where the next part begins
    size: int  # of the file, in bytes


def read_part(file: Path, offset: int | None = None, limit: int = _PART) -> Part:
    """A part of a log from a place on; without a place, the last one. A log that is not there is empty.

    Args:
        offset: in bytes, as `Part.offset` says; beyond the end of the file it is the end.
        limit: bytes that are read.
    """
    try:
        with file.open("rb") as log:
            size = log.seek(0, 2)
            start = max(size - limit, 0) if offset is None else min(max(offset, 0), size)
            log.seek(start)
            data = log.read(limit)
    except FileNotFoundError:
        return Part("", "", 0, 0, 0)
    if offset is None and start:  # in the midst of a line
        cut = data.find(b"\n") + 1
        start, data = start + cut, data[cut:]
    whole = data.rfind(b"\n") + 1
    if not whole and len(data) == limit:  # one line, longer than a part: a progress bar's, or no log at all
        whole = data.rfind(b"\r") + 1 or len(data)
    return Part(_folded(data[:whole]), _folded(data[whole:]), start, start + whole, size)


def _folded(data: bytes) -> str:
    """Lines as a terminal would show them at last: what follows a carriage return stands over what was before."""
    lines = data.decode("utf-8", errors="replace").split("\n")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)
