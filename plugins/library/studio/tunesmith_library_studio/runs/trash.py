"""Runs that were deleted: moved aside as they are, until the trash is emptied."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError
from tunesmith_library_configuration.locks import IN_FOLDER, beside, locked, refuse_locked
from tunesmith_library_configuration.ownership import is_strange, remember

from tunesmith_library_studio.runs.facts import read_json, size_of
from tunesmith_library_studio.runs.folders import RECORD, free_place
from tunesmith_library_studio.workspace import Workspace

_TOLD, _RUN = "deleted.json", "run"


class Trash:
    """The deleted runs of a workspace, each in a folder of its own: `RUNS/.studio/trash/ID`."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    @property
    def _folder(self) -> Path:
        return self._workspace.runs / ".studio" / "trash"

    def all(self) -> list[dict[str, Any]]:
        """What lies in it, the newest first: `id`, `name`, `deleted`, `size`."""
        found = [{"id": folder.name, **_told(folder)} for folder in self._entries() if (folder / _RUN).is_dir()]
        return sorted(found, key=lambda each: -each["deleted"])

    def add(self, name: str, folder: Path, note: Mapping[str, Any]) -> str:
        """Move a run into it.

        Args:
            note: its tags and notes, which come back with it.

        Returns: its id there.
        Raises: ConfigError when a process writes there; TunesmithError when it cannot be moved.
        """
        target = self._folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
        told = {"name": name, "deleted": time.time(), "size": size_of(folder), "note": dict(note)}
        target.mkdir(parents=True)
        (target / _TOLD).write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")
        try:
            move(folder, target / _RUN)
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise
        return target.name

    def restore(self, identity: str, to: str | None = None) -> tuple[str, dict[str, Any]]:
        """Bring a run back.

        Args:
            to: its new name; None: the one that it had.

        Returns: its name, and the note that it was deleted with.
        Raises: TunesmithError where there is no such run, or its name is not free.
        """
        folder = self._entry(identity)
        told = _told(folder, whole=True)
        name = to or str(told["name"])
        move(folder / _RUN, free_place(self._workspace, name))
        shutil.rmtree(folder, ignore_errors=True)
        return name, told["note"]

    def empty(self, identity: str | None = None) -> int:
        """Delete one run, or all, for good; gives the bytes that are free now."""
        folders = self._entries() if identity is None else [self._entry(identity)]
        freed = 0
        for folder in folders:
            size = size_of(folder)
            shutil.rmtree(folder, ignore_errors=True)
            freed += size - size_of(folder)
        return freed

    def _entries(self) -> list[Path]:
        with contextlib.suppress(OSError):
            return [Path(entry.path) for entry in os.scandir(self._folder) if entry.is_dir(follow_symlinks=False)]
        return []

    def _entry(self, identity: str) -> Path:
        found = next((folder for folder in self._entries() if folder.name == identity), None)
        if found is None:
            raise TunesmithError(f"{identity}: the trash holds no such run.")
        return found


def move(folder: Path, target: Path) -> None:
    """Have a run's folder elsewhere on the same disk; while it is moved nobody else writes there.

    Raises: ConfigError when a process writes there; TunesmithError when the system does not do it.
    """
    refuse_busy(folder)
    own = (folder / RECORD).is_file() and not is_strange(folder / RECORD)
    with locked(folder / IN_FOLDER, folder, "moving it"):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            folder.rename(target)
        except OSError as error:
            raise TunesmithError(f"{folder} cannot be moved to {target}: {error.strerror}.") from error
        (target / IN_FOLDER).unlink(missing_ok=True)
    if own:  # a record at another place would be a stranger's
        remember(target / RECORD)


def refuse_busy(folder: Path) -> None:
    """Raise ConfigError when a process trains, evaluates or exports in a folder, or writes it as a whole."""
    for lock in (*_locks(folder), beside(folder)):
        refuse_locked(lock, folder)


def _locks(folder: Path) -> Iterator[Path]:
    yield folder / IN_FOLDER
    yield from folder.glob(".*.lock")


def _told(folder: Path, whole: bool = False) -> dict[str, Any]:
    told = read_json(folder / _TOLD)
    found = {
        "name": str(told.get("name", folder.name)),
        "deleted": float(told.get("deleted", 0)),
        "size": int(told.get("size", 0)),
    }
    return {**found, "note": told.get("note", {})} if whole else found
