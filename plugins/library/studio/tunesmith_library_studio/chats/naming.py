"""What a user calls a model, as the arguments of a command: a run, a checkpoint, a folder, a file, an address."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from tunesmith import TunesmithError
from tunesmith.errors import choices

from tunesmith_library_studio.workspace import Workspace

_ADDRESS = re.compile(r"\w[\w.-]*(:(//)?)?([\w.-]+/)*[\w.@-]+")
_KEY = re.compile(r"[A-Za-z_]\w*(\.\w+)*")


def arguments_of(workspace: Workspace, source: str, overrides: Mapping[str, Any]) -> list[str]:
    """The configuration and overrides that name a model, as every command takes them.

    Args:
        source: a run by its name or path, a checkpoint of it, an export, the folder of an adapter or a model, a file
            such as one of GGUF or YAML, all in the workspace; else the address of a model on a hub.

    Raises: OutsideWorkspace for a path that leads elsewhere; TunesmithError for what is neither path nor address.
    """
    return [_named(workspace, source.strip()), *(_override(workspace, *each) for each in overrides.items())]


def _named(workspace: Workspace, source: str) -> str:
    if source and _is_plain(source):
        for folder in (workspace.runs, workspace.root):
            if (folder / source).exists():
                return str(workspace.path(folder / source))
    if _is_local(source):
        path = workspace.path(source)
        if not path.exists():
            raise TunesmithError(f"{source}: no such file or folder.\n  possible: a run, a folder, an address on a hub")
        return str(path)
    runs = f"{workspace.shown(workspace.runs)}/"
    if source.startswith(runs):
        names = [folder.name for folder in workspace.runs.iterdir()] if workspace.runs.is_dir() else []
        near = choices(source.removeprefix(runs), [name for name in names if not name.startswith(".")])
        raise TunesmithError(f"{source}: no such run.\n  {near}")
    if not _ADDRESS.fullmatch(source):
        raise TunesmithError(
            f"{source!r} names no model.\n"
            "  possible: a run, a checkpoint, a folder, or an address such as Qwen/Qwen3-4B"
        )
    return f"model.path={source}"


def _override(workspace: Workspace, key: str, value: Any) -> str:
    """An override as an argument; texts that are paths are held to the workspace."""
    if not _KEY.fullmatch(key):
        raise TunesmithError(f"{key!r} is no key of a configuration.\n  possible: such as engine, engine.batch_size")
    for text in value if isinstance(value, list) else [value]:
        if isinstance(text, str) and _is_local(text):
            workspace.path(text)
    return f"{key}={value if isinstance(value, str) else json.dumps(value)}"


def _is_plain(source: str) -> bool:
    """Whether a source can be the name of a file below a folder, and is no option of a command."""
    path = PurePath(source)
    return not path.is_absolute() and ".." not in path.parts and not source.startswith(("-", "~")) and "=" not in source


def _is_local(text: str) -> bool:
    return text.startswith(("~", "./", "/", "\\")) or Path(text).is_absolute() or ".." in PurePath(text).parts
