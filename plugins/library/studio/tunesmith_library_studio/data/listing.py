"""The data files of a workspace, with what a quick look tells of each."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .formats import guess
from .opening import LINES, PACKED, is_data, suffix_of

_DEPTH, _MOST = 5, 2000  # folders below the root, and files
_LOOKED = 1 << 18  # bytes of a file that are looked at for its first record
_COUNTED = 8 << 20  # bytes of a file whose lines are counted for a list
_OTHERS = ("requirements", "constraints", "license", "readme", "robots")  # text files that are no data
_HIDDEN = ("node_modules", "__pycache__", "site-packages", "dist", "build", "page")
_OWN = (".versions.json",)
_known: dict[tuple[str, int, int], dict[str, Any]] = {}


def files(root: Path, left_out: Path) -> Iterator[Path]:
    """Data files under a folder, those of models and of runs left out."""
    number = 0
    for folder, below, names in os.walk(root):
        here = Path(folder)
        deep = len(here.relative_to(root).parts) >= _DEPTH
        below[:] = [] if deep else sorted(name for name in below if _is_open(here / name, left_out))
        if "config.json" in names or ("pyproject.toml" in names and here != root):
            continue
        for name in sorted(names):
            path = here / name
            if is_data(path) and not name.startswith(".") and not name.endswith(_OWN) and _may_be_data(path):
                number += 1
                yield path
        if number >= _MOST:
            return


def _is_open(folder: Path, left_out: Path) -> bool:
    return not folder.name.startswith(".") and folder.name not in _HIDDEN and folder != left_out


def _may_be_data(path: Path) -> bool:
    """Whether a file may hold records: a JSON list or an empty one, a text unless its name denies it."""
    suffix = suffix_of(path)
    if suffix == ".txt":
        return not path.name.lower().startswith(_OTHERS)
    if suffix != ".json" or path.suffix in PACKED:
        return True
    try:
        with path.open("rb") as stream:
            beginning = stream.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")
            return not beginning or beginning.startswith(b"[")
    except OSError:
        return False


def about(path: Path) -> dict[str, Any]:
    """Size, time, format, columns and, where that is quick, the number of rows of a file."""
    stat = path.stat()
    key = str(path), stat.st_size, stat.st_mtime_ns
    if key not in _known:
        record = first_record(path)
        columns = list(record) if isinstance(record, dict) else []
        rows = _count(path, stat.st_size)
        _known[key] = {"format": guess(record) or None, "columns": columns, "rows": rows}
    return {"size": stat.st_size, "modified": stat.st_mtime, **_known[key]}


def first_record(path: Path) -> Any:
    """The first record of a file, as far as its beginning tells; None otherwise."""
    if path.suffix.lower() in PACKED or suffix_of(path) in (".parquet", ".arrow"):
        return None
    with path.open("rb") as stream:
        text = stream.read(_LOOKED).decode("utf-8-sig", "ignore")
    suffix = suffix_of(path)
    if suffix in (".csv", ".tsv"):
        rows = csv.DictReader(text.splitlines(), delimiter="\t" if suffix == ".tsv" else ",")
        return next(iter(rows), None)
    if suffix == ".txt":
        return next(({"text": line} for line in text.splitlines() if line.strip()), None)
    start = text.lstrip(" \t\r\n[" if suffix == ".json" else " \t\r\n")
    try:
        return json.JSONDecoder().raw_decode(start)[0]
    except (ValueError, RecursionError):
        return None


def _count(path: Path, size: int) -> int | None:
    if size > _COUNTED:
        return None
    if path.suffix.lower() in LINES or path.suffix.lower() == ".txt":
        with path.open("rb") as stream:
            return sum(1 for line in stream if line.strip())
    if path.suffix.lower() == ".json" and size < 1 << 20:
        try:
            content = json.loads(path.read_text("utf-8-sig"))
        except (ValueError, RecursionError):
            return None
        return len(content) if isinstance(content, list) else None
    return None
