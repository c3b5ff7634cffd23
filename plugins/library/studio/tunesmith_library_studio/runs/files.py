"""The files of a run: what there is, and the text of those that are text."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError

from tunesmith_library_studio.runs.folders import is_shown

_MOST = 2000  # files that are listed
_SHOWN = 256 * 1024  # bytes of a text that is shown
_TEXTS = (".yaml", ".yml", ".json", ".jsonl", ".md", ".txt", ".log", ".csv", ".lock", ".jinja", ".py", ".ini", ".toml")
_PICTURES = (".png", ".jpg", ".jpeg")  # no SVG: it may hold scripts


def listed(folder: Path) -> tuple[list[dict[str, Any]], bool]:
    """The files of a folder with sizes, those of its folders too, and whether there are more than are listed."""
    found: list[dict[str, Any]] = []
    for path, at in _walked(folder, folder):
        if len(found) == _MOST:
            return found, True
        found.append({"path": path, "size": at.st_size, "modified": at.st_mtime, "kind": kind_of(path)})
    return found, False


def kind_of(path: str) -> str:
    """`text`, `picture` or `other`, by its ending."""
    ending = os.path.splitext(path)[1].lower()
    return "text" if ending in _TEXTS else "picture" if ending in _PICTURES else "other"


def file_of(folder: Path, path: str) -> Path:
    """A file of a run's folder.

    Raises: TunesmithError where there is none, or it lies elsewhere.
    """
    file = (folder / path).resolve()
    if "\0" in path or not file.is_relative_to(folder.resolve()):
        raise TunesmithError(f"{path} lies outside of the run's folder.")
    if not file.is_file():
        raise TunesmithError(f"{path}: the run has no such file.")
    return file


def text_of(file: Path) -> dict[str, Any]:
    """The text of a file; of a long one its beginning and end.

    Raises: TunesmithError for what is no text.
    """
    size = file.stat().st_size
    with file.open("rb") as content:
        start = content.read(_SHOWN)
        content.seek(max(size - _SHOWN, len(start)))
        end = content.read(_SHOWN)
    if b"\0" in start:
        raise TunesmithError(f"{file.name} is no text; download it.")
    left_out = size - len(start) - len(end)
    middle = f"\n… {left_out:,} bytes …\n" if left_out else ""
    return {"text": start.decode("utf-8", "replace") + middle + end.decode("utf-8", "replace"), "left_out": left_out}


def _walked(folder: Path, top: Path) -> Iterator[tuple[str, os.stat_result]]:
    with contextlib.suppress(OSError):
        for entry in sorted(os.scandir(folder), key=lambda entry: (entry.is_dir(), entry.name)):
            if not is_shown(entry.name) or entry.is_symlink():
                continue
            path = Path(entry.path)
            if entry.is_dir():
                yield from _walked(path, top)
            else:
                yield path.relative_to(top).as_posix(), entry.stat()
