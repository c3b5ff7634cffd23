"""Where runs lie: in the runs folder and folders of it, whoever started them."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tunesmith import TunesmithError
from tunesmith_library_configuration.errors import choices

from tunesmith_library_studio.workspace import OutsideWorkspace, Workspace

RECORD = "run.yaml"
REPORT = "export_report.json"  # of an export, which is no run
_DEPTH = 3  # RUNS/a/b/c is found, and nothing below it
_OF_OTHERS = ("trainer_state.json", "trainer_log.jsonl", "training_args.bin", "adapter_config.json")


class NoSuchRun(TunesmithError):
    """No run has that name."""


@dataclass(frozen=True)
class Place:
    """A folder of a run as one look found it."""

    name: str  # relative to the runs folder, with slashes
    path: Path
    foreign: bool  # whether another program wrote it
    entries: dict[str, os.stat_result] = field(compare=False)  # what lies in it, by name

    @property
    def mark(self) -> str:
        """What changes when anything in the folder does: names, sizes and times of all but locks and drafts."""
        shown = [(name, at.st_mtime_ns, at.st_size) for name, at in self.entries.items() if is_shown(name)]
        return hashlib.blake2b(repr(sorted(shown)).encode(), digest_size=12).hexdigest()


def is_shown(name: str) -> bool:
    """Whether a file is more than a lock, or the draft of one that is being written."""
    return not name.startswith(".") and (not name.endswith(".lock") or name == "plugins.lock")


def places(workspace: Workspace) -> Iterator[Place]:
    """All runs, in the order of their names."""
    yield from _below(workspace, workspace.runs, "", _DEPTH)


def exports(place: Place) -> Iterator[Path]:
    """Folders of a run's exports, beside it and called RUN-merged, in the order of their names.

    Those that were not proven have no report: they are told by what they hold, a whole model and no run.
    """
    with contextlib.suppress(OSError):
        for entry in sorted(os.scandir(place.path.parent), key=lambda entry: entry.name):
            if entry.name.startswith(f"{place.path.name}-") and entry.is_dir():
                names = {inner.name for inner in os.scandir(entry.path)}
                is_model = "config.json" in names or any(name.endswith((".gguf", ".onnx")) for name in names)
                if REPORT in names or (is_model and not names & {RECORD, *_OF_OTHERS}):
                    yield Path(entry.path)


def place_of(workspace: Workspace, name: str) -> Place:
    """The run of a name.

    Raises: NoSuchRun, also for a name that leads out of the runs folder.
    """
    path = folder_of(workspace, name)
    found = _place(name, path, _entries(path)) if path.is_dir() else None
    if found is None:
        known = [place.name for place in places(workspace)]
        raise NoSuchRun(
            f"{name}: no run has this name in {workspace.shown(workspace.runs)}.\n{choices(name, known, 'runs')}"
        )
    return found


def folder_of(workspace: Workspace, name: str) -> Path:
    """The folder that a run's name stands for, there or not.

    Raises: NoSuchRun for a name that is none: one that leads out of the runs folder, or into what begins with a point.
    """
    parts = name.split("/")
    if not all(part and not part.startswith(".") and "\\" not in part and "\0" not in part for part in parts):
        raise NoSuchRun(f"{name!r} is no name of a run.\nwrite folders with / between, none beginning with a point")
    if len(parts) > _DEPTH:
        raise NoSuchRun(f"{name}: runs lie at most {_DEPTH} folders deep in {workspace.shown(workspace.runs)}.")
    path = workspace.runs.joinpath(*parts)
    workspace.path(path)
    return path


def free_place(workspace: Workspace, name: str) -> Path:
    """The folder for a run that is to have a name.

    Raises: NoSuchRun for a name that is none; TunesmithError where something is there, or it lies in another run.
    """
    path = folder_of(workspace, name)
    if path.exists():
        raise TunesmithError(f"{name} is there already.\nchoose another name")
    inside = [folder for folder in path.parents if folder != workspace.runs and (folder / RECORD).exists()]
    if inside:
        raise TunesmithError(f"{name} lies in the folder of a run, {workspace.shown(inside[0])}.\nchoose another name")
    return path


def _below(workspace: Workspace, folder: Path, before: str, depth: int) -> Iterator[Place]:
    with contextlib.suppress(OSError):
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            if entry.name.startswith(".") or not entry.is_dir():
                continue
            if entry.is_symlink() and not _inside(workspace, entry):
                continue
            path, name = Path(entry.path), f"{before}{entry.name}"
            entries = _entries(path)
            found = _place(name, path, entries)
            if found:
                yield found
            elif depth > 1 and "config.json" not in entries:
                yield from _below(workspace, path, f"{name}/", depth - 1)


def _inside(workspace: Workspace, entry: os.DirEntry[str]) -> bool:
    try:
        return bool(workspace.path(entry.path))
    except (OutsideWorkspace, OSError):
        return False


def _place(name: str, path: Path, entries: dict[str, os.stat_result]) -> Place | None:
    if RECORD in entries:
        return Place(name, path, False, entries)
    foreign = REPORT not in entries and any(file in entries for file in _OF_OTHERS)
    return Place(name, path, True, entries) if foreign else None


def _entries(path: Path) -> dict[str, os.stat_result]:
    found = {}
    with contextlib.suppress(OSError):
        for entry in os.scandir(path):
            with contextlib.suppress(OSError):  # gone meanwhile
                found[entry.name] = entry.stat(follow_symlinks=False)
    return found
