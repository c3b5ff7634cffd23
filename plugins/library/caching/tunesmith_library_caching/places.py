"""Where programs keep what the next run can use."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

DATASETS, ARCHIVES, STORES, PRECISIONS = "datasets", "archives", "stores", "precisions"
"""Encoded data sets; unpacked archives; downloads from object stores; in which numbers a model is faster here."""

PLANNING = "planning"
"""How long runs took here, by which plans of the next are corrected."""

UNFINISHED = ".part"
"""How the folder of a data set ends whose shards are not all there yet."""


def kept_in(name: str) -> Path:
    """The folder of one of them: `~/.cache/tunesmith/NAME`, or below `XDG_CACHE_HOME`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "tunesmith" / name


def entries_of(files: Iterable[Path]) -> list[Path]:
    """The folders of the cache that files stand in, of archives and downloads, in order and once each."""
    found: dict[Path, None] = {}
    for root in (kept_in(ARCHIVES), kept_in(STORES) / "folders"):
        for file in files:
            if file.is_relative_to(root) and file != root:
                found[root / file.relative_to(root).parts[0]] = None
    return list(found)
