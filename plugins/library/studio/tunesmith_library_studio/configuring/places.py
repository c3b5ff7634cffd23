"""Paths in a configuration that a client sent: none leads out of the folders that were allowed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tunesmith_library_studio.workspace import Workspace

_SCHEME = re.compile(r"^(local|file)://")
_HOME_OR_DRIVE = re.compile(r"~|[A-Za-z]:[\\/]")


def hold_inside(values: Any, workspace: Workspace) -> None:
    """Look at all texts that lead somewhere by themselves: `/etc/passwd`, `~/x`, `../x`, `local:///etc`.

    Raises: OutsideWorkspace.
    """
    for text in _texts(values):
        path = _SCHEME.sub("", text)
        if "\n" not in path and _leads(path):
            file, separator, _ = path.partition(".py:")
            workspace.path(f"{file}.py" if separator else path)


def _leads(path: str) -> bool:
    """Whether a text is the path of another place than those below the current folder."""
    if path.startswith("/"):
        return Path("/", *Path(path).parts[1:2]).exists()  # `/think` of a prompt is none
    return _HOME_OR_DRIVE.match(path) is not None or ".." in re.split(r"[/\\]", path)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _texts(name)
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
