"""JSON Lines of which some are no JSON: the others are read all the same, and each of those is told."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tunesmith_library_formats import JsonDecoder, JsonError

MARK = "\0damaged"
"""The key of a record that stands in the place of a line that is no JSON; its value says why."""

_LINES = (".jsonl", ".ndjson")


@contextmanager
def sound_copy(path: Path) -> Iterator[Path | None]:
    """A copy of a file with a marked record in place of each line that cannot be read, while the block lasts.

    None for what is no file of JSON Lines, or is not text, or is in order.
    """
    if path.suffix.lower() not in _LINES or not path.is_file():
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        try:
            damaged = _copy(path, copy)
        except UnicodeDecodeError:
            damaged = 0
        yield copy if damaged else None


def _copy(path: Path, copy: Path) -> int:
    """Copy a file line by line. Returns: how many lines are damaged."""
    damaged = 0
    with open(path, encoding="utf-8-sig") as source, open(copy, "w", encoding="utf-8") as target:
        for line in source:
            fault = _fault(line) if line.strip() else ""
            damaged += bool(fault)
            target.write(f"{json.dumps({MARK: fault})}\n" if fault else line)
    return damaged


def _fault(line: str) -> str:
    try:
        value = JsonDecoder().decode(line)
    except JsonError as error:
        return f"it is not JSON: {error} (column {error.position + 1})"
    return "" if isinstance(value, dict) else "a record must be a mapping"
