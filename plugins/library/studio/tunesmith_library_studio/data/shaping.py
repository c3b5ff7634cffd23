"""New sets out of others, row by row: a sample, two parts, several sets as one."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from tunesmith import DataError, TunesmithError
from tunesmith.files import replacing
from tunesmith_library_formats.writing import to_openai

from .formats import Reading
from .opening import Opened


def sample(opened: Opened, out: Path, count: int, seed: int = 0) -> int:
    """Write rows that are drawn at random, in their order. Returns: how many."""
    drawn = _drawn(opened, count, seed)
    return _write(out, opened, drawn)


def split(opened: Opened, out: Path, rest: Path, held_out: float, seed: int = 0) -> tuple[int, int]:
    """Write two parts of a set.

    Args:
        held_out: rows of the second part: below 1 a share, from 1 on a number.

    Returns: the rows of both. Raises: DataError where one would be empty.
    """
    rows = [found.row for found in opened.all() if not found.is_blank]
    count = round(held_out * len(rows)) if held_out < 1 else round(held_out)
    if not 0 < count < len(rows):
        raise DataError(f"{held_out:g} of {len(rows):,} rows leaves one part empty")
    refuse_existing(out)
    refuse_existing(rest)
    drawn = _drawn(opened, count, seed)
    return _write(out, opened, set(rows) - drawn), _write(rest, opened, drawn)


def merge(sets: Sequence[tuple[Opened, Reading]], out: Path) -> tuple[int, int]:
    """Write several sets as one: of one format as they stand, of several as messages.

    Returns: the rows that were written, and those that their format cannot read.
    """
    same = len({(reading.format, tuple(reading.columns.items())) for _, reading in sets}) == 1
    rows = lost = 0
    with _new(out) as draft, draft.open("w", encoding="utf-8", newline="\n") as stream:
        for opened, reading in sets:
            for found in opened.all():
                if found.is_blank:
                    continue
                text = found.text
                if not same:
                    row, _ = reading.row(found.record) if found.record is not None else (None, "")
                    text = (
                        "" if row is None else json.dumps(row if "text" in row else to_openai(row), ensure_ascii=False)
                    )
                stream.write(f"{text}\n" if text else "")
                rows, lost = rows + bool(text), lost + (not text)
    return rows, lost


def refuse_existing(out: Path) -> None:
    """Refuse to write over a file, and to write another kind than JSON Lines."""
    if out.suffix != ".jsonl":
        raise TunesmithError(f"{out.name}: rows are written as JSON Lines\n  name it .jsonl")
    if out.exists():
        raise TunesmithError(f"{out.name} exists already\n  choose another name")


def _new(out: Path) -> AbstractContextManager[Path]:
    refuse_existing(out)
    return replacing(out)


def _drawn(opened: Opened, count: int, seed: int) -> set[int]:
    rows = [found.row for found in opened.all() if not found.is_blank]
    return set(random.Random(seed).sample(rows, min(count, len(rows))))


def _write(out: Path, opened: Opened, rows: set[int]) -> int:
    with _new(out) as draft, draft.open("w", encoding="utf-8", newline="\n") as stream:
        for found in opened.all():
            if found.row in rows:
                stream.write(found.text + "\n")
    return len(rows)
