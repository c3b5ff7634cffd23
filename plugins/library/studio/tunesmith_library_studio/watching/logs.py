"""What a run printed: read from its end, however long it is, with progress bars folded to what they showed last."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMES = ("train.log", "run.log", "running_log.txt", "log.txt")
"""Of a run's folder, where no job keeps its output; the third one is LLaMA-Factory's."""

_WINDOW = 64 << 10  # bytes that are read at a time
_WARNING = re.compile(r"warn(ing|ings)?\b|^guard: ", re.IGNORECASE)
_ERROR = re.compile(r"\b(error|critical|fatal)\b|\w(Error|Exception)\b|^Traceback ", re.IGNORECASE)
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[()][AB0]")  # colours and moves of a terminal
_LONGEST = 4000  # characters of a line that are shown


def log_file(folder: Path, own: Path | None = None) -> Path | None:
    """The file of a run's output: its job's, else one in its folder; None where there is none."""
    if own is not None and own.is_file():
        return own
    return next((folder / name for name in NAMES if (folder / name).is_file()), None)


def window(file: Path, end: int | None = None, size: int = _WINDOW) -> dict[str, Any]:
    """The lines before a place in a file.

    Args:
        end: in bytes; None is the file's end.
        size: bytes that are read at most.

    Returns: `lines` (as `line` gives them), `start` and `end` (bytes; the former is the `end` of what stands before),
        `size` of the file.
    """
    length = file.stat().st_size
    end = length if end is None else max(0, min(end, length))
    start = max(0, end - size)
    with file.open("rb") as opened:
        opened.seek(start)
        data = opened.read(end - start)
    if start:
        whole = data.find(b"\n") + 1  # a line that began before is the next window's
        start, data = start + whole, data[whole:]
    return {"lines": list(_lines(data, start)), "start": start, "end": end, "size": length}


def since(file: Path, start: int, size: int = _WINDOW) -> dict[str, Any]:
    """The lines behind a place, of those that are finished; where there are too many the last ones.

    Returns: as `window`; `start` is greater than what was asked for where some were left out.
    """
    length = file.stat().st_size
    if length < start or length - start > size:  # written anew, or faster than anybody reads
        return window(file, length, size)
    with file.open("rb") as opened:
        opened.seek(start)
        data = opened.read(length - start)
    data = data[: data.rfind(b"\n") + 1]
    return {"lines": list(_lines(data, start)), "start": start, "end": start + len(data), "size": length}


def search(file: Path, text: str, only: str = "", most: int = 500) -> dict[str, Any]:
    """The lines with a text in them, of small and capital letters alike, the last ones.

    Args:
        only: `warning` leaves out what is neither a warning nor an error.

    Returns: `lines`, `found` (how many there are in all), `size` of the file.
    """
    wanted, kept, found, place = text.casefold(), deque[dict[str, Any]](maxlen=most), 0, 0
    with file.open("rb") as opened:
        for raw in opened:
            if wanted in raw.decode("utf-8", "replace").casefold():
                shown = line(raw, place)
                if not only or shown["level"]:
                    found += 1
                    kept.append(shown)
            place += len(raw)
    return {"lines": list(kept), "found": found, "size": place}


def line(raw: bytes, place: int) -> dict[str, Any]:
    """A line: `at` (its place in bytes), `text`, `level` (`warning`, `error` or empty)."""
    text = raw.decode("utf-8", "replace").rstrip("\r\n").rpartition("\r")[2]
    text = _ESCAPES.sub("", text)
    level = "error" if _ERROR.search(text) else "warning" if _WARNING.search(text) else ""
    return {"at": place, "text": text[:_LONGEST] + ("…" if len(text) > _LONGEST else ""), "level": level}


def _lines(data: bytes, place: int) -> Iterator[dict[str, Any]]:
    for raw in data.split(b"\n"):
        if raw.strip():
            yield line(raw, place)
        place += len(raw) + 1
