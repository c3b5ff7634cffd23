"""Folders that say what they hold: a list of their files with sizes and digests, written last.

A folder without the list was not finished. One that does not match it was damaged afterwards.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tunesmith_library_configuration.files import digest, replacing

_LAYOUT = 2  # of the list; 1 had neither files nor a digest of its own
_NOTES = (".txt", ".md", ".log", ".png", ".jsonl")  # files that nobody takes for a part of a model or its training


def seal(folder: Path, name: str, told: Mapping[str, Any]) -> None:
    """Write the list, after everything that it lists has reached the disk.

    Args:
        name: of the list's file.
        told: what else it says, as JSON knows it.

    Raises: OSError when it cannot be written.
    """
    files = {}
    for path in sorted(_files(folder)):
        _settle(path)
        files[path.relative_to(folder).as_posix()] = [path.stat().st_size, digest(path)]
    listed = {"layout": _LAYOUT, "told": dict(told), "files": files}
    with replacing(folder / name) as draft:
        draft.write_text(json.dumps({**listed, "digest": _digest(listed)}, indent=1) + "\n", encoding="utf-8")
        _settle(draft)
    _settle(folder)


def told(folder: Path, name: str) -> Mapping[str, Any]:
    """What the list of a folder says beside the files; empty when it cannot be read."""
    listed = _read(folder / name)
    if listed is None:
        return {}
    found: Mapping[str, Any] = listed.get("told", {}) if _names_files(listed) else listed
    return found


def is_listed(folder: Path, name: str) -> bool:
    """Whether a folder's list names its files; one of an earlier version does not."""
    listed = _read(folder / name)
    return listed is None or _names_files(listed)


def is_intact(folder: Path, name: str, path: str) -> bool:
    """Whether one file is as the list has it; also when the list names none, for nothing can be said then."""
    listed = _read(folder / name)
    if listed is None or not _names_files(listed):
        return listed is not None
    if listed.pop("digest", None) != _digest(listed) or path not in listed["files"]:
        return False
    return _damage(folder / path, *listed["files"][path]) is None


def damages(folder: Path, name: str) -> Iterator[str]:
    """What is wrong with a folder, one file after the other; nothing can be said of one without names in its list."""
    listed = _read(folder / name)
    if listed is None:
        yield f"{name} cannot be read"
        return
    if not _names_files(listed):
        return
    if listed.pop("digest", None) != _digest(listed):
        yield f"{name} was changed"
        return
    expected = listed["files"]
    for path, (size, content) in expected.items():
        damage = _damage(folder / path, size, content)
        if damage:
            yield f"{path} {damage}"
    for extra in sorted(path.relative_to(folder).as_posix() for path in _files(folder)):
        if extra not in expected and extra != name and not _is_note(extra):
            yield f"{extra} was added"


def _damage(path: Path, size: int, content: str) -> str | None:
    """What is wrong with one file."""
    if not path.is_file():
        return "is missing"
    found = path.stat().st_size
    if found != size:
        return f"has {found:,} bytes of {size:,}"
    try:
        return None if digest(path) == content else "holds other bytes"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def _is_note(path: str) -> bool:
    """Whether a file is of no meaning to whoever loads the folder."""
    return path.rpartition("/")[2].startswith(".") or path.endswith(_NOTES)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found else None


def _names_files(listed: Mapping[str, Any]) -> bool:
    """Whether a list is of this layout, also when one of its words was damaged."""
    return not {"layout", "told", "files", "digest"}.isdisjoint(listed)


def _digest(listed: Mapping[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(listed, sort_keys=True).encode(), digest_size=16).hexdigest()


def _settle(path: Path) -> None:
    """Wait until a file or folder is on the disk, and not only on its way."""
    if os.name == "nt":  # where it takes the right to write, and folders are not opened
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
