"""What is kept: each thing with its size, when it was used, what it was made of, and what speaks for deleting it."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tunesmith_library_configuration.files import digest
from tunesmith_library_configuration.fingerprints import versions
from tunesmith_library_configuration.owners import left_behind

from tunesmith_library_caching.encoded import ABOUT, damage_of_sizes, differences, opened, read_about
from tunesmith_library_caching.places import ARCHIVES, DATASETS, PLANNING, PRECISIONS, STORES, UNFINISHED, kept_in

KEY = re.compile(r"[0-9a-f]{32}")
_DRAFT = re.compile(r"\.(?P<name>.+)-[a-z0-9_]{6,8}(\.(?P<mark>[0-9a-f]{8}\.\d+\.\d+))?")


@dataclass(frozen=True, eq=False)
class Kept:
    """One thing in the cache."""

    kind: str  # data set, archive, download, precision, planning, leftover
    place: Path
    name: str
    size: int  # bytes that its deletion frees
    used: float  # seconds since 1970
    made: str = ""  # time, as ISO 8601 has it
    rows: int | None = None
    tokens: int | None = None
    made_of: dict[str, Any] = field(default_factory=dict)  # files, format, template, model, stage …
    damage: str = ""  # what is wrong with it
    unused: str = ""  # why no run would take it now

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "place": str(self.place)}


def listed(cache_dir: Path | None = None, thorough: bool = False) -> list[Kept]:
    """All that is kept, the longest unused first.

    Args:
        cache_dir: a folder of encoded data sets; None is the user's, with archives and downloads.
        thorough: read every byte of the data sets to see whether they are whole, not their sizes alone.
    """
    found = list(_datasets(cache_dir or kept_in(DATASETS), thorough))
    if cache_dir is None:
        found += [*_archives(kept_in(ARCHIVES)), *_downloads(kept_in(STORES))]
        found += [
            *_measured("precision", kept_in(PRECISIONS), "name"),
            *_measured("planning", kept_in(PLANNING), "device"),
        ]
    return sorted(found, key=lambda kept: (kept.used, str(kept.place)))


def size_of(place: Path) -> int:
    """The bytes of a file, or of all files below a folder."""
    return sum(path.lstat().st_size for path in _files(place))


def _datasets(root: Path, thorough: bool) -> Iterator[Kept]:
    for folder in _entries(root):
        if KEY.fullmatch(folder.name):
            yield _dataset(folder, thorough)
        else:
            yield from _leftover(folder)


def _dataset(folder: Path, thorough: bool) -> Kept:
    size, used = size_of(folder), _time(folder / ABOUT) or _time(folder)
    try:
        about = read_about(folder)
    except (OSError, ValueError) as error:
        return Kept("data set", folder, "", size, used, damage=str(error) or type(error).__name__)
    damage = opened(folder)[1] if thorough else damage_of_sizes(folder, about)
    return Kept(
        "data set",
        folder,
        name=about.get("name") or Path(str(about.get("path", ""))).name,
        size=size,
        used=used,
        made=about.get("made", ""),
        rows=about.get("examples"),
        tokens=about.get("tally", {}).get("sizes", {}).get("tokens") or None,
        made_of={"path": about.get("path"), "format": about.get("format"), **about.get("made_with", {})},
        damage=damage or "",
        unused=_why_unused(about),
    )


def _why_unused(about: dict[str, Any]) -> str:
    """Why no run would find an encoded data set now; "" where nothing is known against it."""
    parts = about.get("parts")
    if parts is None:
        return "an earlier version of the program made it"
    now = versions()
    other = differences({name: value for name, value in parts.items() if name in now}, now)
    if other:
        return f"made with another {', '.join(other)}"
    for path, size, changed, content in about.get("files", ()):
        try:
            there = os.stat(path)
        except OSError:
            return f"{path} is not here"
        if (there.st_size, there.st_mtime_ns) != (size, changed) and digest(Path(path)) != content:
            return f"{path} has changed"
    return ""


def _archives(root: Path) -> Iterator[Kept]:
    for folder in _entries(root):
        if folder.name.startswith("."):
            yield from _leftover(folder)
            continue
        yield Kept("archive", folder, folder.name.rpartition("-")[0], size_of(folder), _time(folder))


def _downloads(root: Path) -> Iterator[Kept]:
    """Each listing of an object store: its files, which are second names of the objects that were downloaded."""
    for folder in _entries(root / "folders"):
        files = [path.lstat() for path in _files(folder)]
        name = next((path.name for path in folder.iterdir()), "")
        # an object that another listing has too stays when this one goes
        size = sum(file.st_size for file in files if file.st_nlink <= 2)
        yield Kept("download", folder, name, size, _time(folder))
    for file in sorted((root / "objects").glob("*")):
        if file.suffix != ".lock" and file.lstat().st_nlink == 1:
            yield Kept("leftover", file, file.name, file.lstat().st_size, _time(file))


def _measured(kind: str, root: Path, called: str) -> Iterator[Kept]:
    """What was measured on this machine: of a model's shape, or of how long runs took on a device.

    Args:
        called: what the file says that it is of, by this name.
    """
    for file in sorted(root.glob("*.json")):
        name = ""
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            name = str(json.loads(file.read_text(encoding="utf-8"))[called])
        yield Kept(kind, file, name, size_of(file), _time(file))
    for folder in _entries(root):
        yield from _leftover(folder)


def _leftover(entry: Path) -> Iterator[Kept]:
    """A draft of a process that has ended, or shards that wait for the others; of one that works nothing is said."""
    if entry.suffix == UNFINISHED and KEY.fullmatch(entry.stem):
        yield Kept("leftover", entry, entry.stem, size_of(entry), _time(entry))
    draft = _DRAFT.fullmatch(entry.name)
    if draft and (draft["mark"] is None or left_behind(draft["mark"])):
        yield Kept("leftover", entry, draft["name"], size_of(entry), _time(entry))


def _entries(root: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return sorted(path for path in root.iterdir() if path.is_dir() and not path.is_symlink())
    return []


def _files(place: Path) -> Iterator[Path]:
    if not place.is_dir():
        yield place
        return
    for folder, _, names in os.walk(place):
        yield from (Path(folder, name) for name in names)


def _time(path: Path) -> float:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return 0.0
