"""What was read of a long file of metrics, kept as numbers, so that the next server has it without reading the file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from array import array
from dataclasses import dataclass
from pathlib import Path

from tunesmith.files import replacing

from tunesmith_library_studio.watching.columns import Column, Columns

LONG = 8 << 20  # bytes of a file from which on it is kept, and that it grows until it is kept again
_MOST = 20  # files that are kept, of some 14 MB for 100,000 steps
_TAIL = 256  # bytes before the place until which a file was read
_FORM = f"1 {sys.byteorder} {array('I').itemsize}"


@dataclass(frozen=True)
class Read:
    """How far a file was read, and what was in it."""

    columns: Columns
    offset: int  # bytes
    number: int  # of the file
    head: bytes  # with which it begins


def place_of(folder: Path, file: Path) -> Path:
    """Where what was read of a file is kept."""
    return folder / f"{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:24]}.bin"


def keep(place: Path, file: Path, read: Read) -> None:
    """Write it, and let go of the oldest of others; where it cannot be written nothing is kept."""
    counts = {name: [len(column), column.skipped] for name, column in read.columns.items()}
    told = {"form": _FORM, "offset": read.offset, "number": read.number, "head": read.head.hex()}
    told |= {"tail": _tail(file, read.offset).hex(), "columns": counts, "state": read.columns.state()}
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        with replacing(place) as draft, draft.open("wb") as out:
            out.write(json.dumps(told).encode() + b"\n")
            for column in read.columns.values():
                column.steps.tofile(out)
                column.values.tofile(out)
        for old in sorted(place.parent.glob("*.bin"), key=lambda path: -path.stat().st_mtime)[_MOST:]:
            old.unlink(missing_ok=True)


def kept(place: Path, file: Path) -> Read | None:
    """What was kept of a file; None where there is nothing, or where the file is another one now."""
    try:
        with place.open("rb") as lines:
            told = json.loads(lines.readline())
            if told["form"] != _FORM or _tail(file, told["offset"]).hex() != told["tail"]:
                return None
            columns = Columns(told["state"])
            for name, (count, skipped) in told["columns"].items():
                column = columns[name] = Column()
                column.skipped = skipped
                column.steps.fromfile(lines, count)
                column.values.fromfile(lines, count)
        return Read(columns, told["offset"], told["number"], bytes.fromhex(told["head"]))
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return None


def _tail(file: Path, offset: int) -> bytes:
    with file.open("rb") as lines:
        lines.seek(max(0, offset - _TAIL))
        return lines.read(min(offset, _TAIL))
