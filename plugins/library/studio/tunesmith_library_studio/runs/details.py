"""All that a page shows of one run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tunesmith_library_studio.runs.files as files
from tunesmith_library_studio.runs.facts import Facts, read_json, size_of
from tunesmith_library_studio.runs.folders import RECORD, Place, exports
from tunesmith_library_studio.workspace import OutsideWorkspace, Workspace

_CARD, _LOCK = "README.md", "plugins.lock"
_MOST = 500_000  # characters of a text


def details(place: Place, facts: Facts, workspace: Workspace) -> dict[str, Any]:
    """Configuration, what made it, checkpoints, exports, files, and what was predicted beside what it took."""
    found, more = files.listed(place.path)
    record = read_json(place.path / "run.json")
    return {
        "path": workspace.shown(place.path),
        "configuration": facts.config,
        "yaml": _text(place, RECORD, workspace),
        "lock": _text(place, _LOCK, workspace).splitlines(),
        "card": _text(place, _CARD, workspace),
        "checkpoint_list": [_checkpoint(place.path / name, whole, workspace) for name, whole in facts.checkpoints],
        "exports": [_export(path, workspace) for path in exports(place)],
        "record": record or None,
        "last": facts.logged.get("last") or {},
        "evaluation": facts.logged.get("evaluation") or {},
        "files": found,
        "more_files": more,
    }


def named_by(place: Place, others: Mapping[str, dict[str, Any]], workspace: Workspace) -> list[tuple[str, str]]:
    """Which configurations name a run's folder, or something in it.

    Args:
        others: configurations by the names of their runs.

    Returns: names with the key of each.
    """
    folder, last = place.path.resolve(), place.path.name
    found = []
    for name, config in others.items():
        if name == place.name:
            continue
        for key, value in _texts(config):
            if last in value and _leads_into(value, folder, workspace.root):
                found.append((name, key))
    return found


def _leads_into(value: str, folder: Path, root: Path) -> bool:
    try:
        return (root / value).resolve().is_relative_to(folder)
    except (OSError, ValueError, RuntimeError):
        return False


def _texts(value: Any, key: str = "") -> list[tuple[str, str]]:
    if isinstance(value, str):
        return [(key, value)]
    items: Any = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    return [each for name, item in items for each in _texts(item, f"{key}.{name}" if key else str(name))]


def _checkpoint(folder: Path, whole: bool, workspace: Workspace) -> dict[str, Any]:
    try:
        modified = folder.stat().st_mtime
    except OSError:
        modified = None
    step = folder.name.rpartition("-")[2]
    return {
        "name": folder.name,
        "path": workspace.shown(folder),
        "step": int(step) if step.isdecimal() else None,
        "complete": whole,
        "size": size_of(folder),
        "modified": modified,
    }


def _export(path: Path, workspace: Workspace) -> dict[str, Any]:
    told = read_json(path / "export_report.json")
    return {
        "name": path.name,
        "path": workspace.shown(path),
        "format": told.get("format"),
        "proven": bool(told),
        "size": size_of(path),
        "modified": path.stat().st_mtime,
    }


def _text(place: Place, name: str, workspace: Workspace) -> str:
    """A text of the run's folder; empty where there is none, or a link leads out of the workspace."""
    if name not in place.entries:
        return ""
    try:
        return workspace.path(place.path / name).read_text(encoding="utf-8", errors="replace")[:_MOST]
    except (OSError, OutsideWorkspace):
        return ""
