"""Models and data sets that are already here: a file or folder."""

from __future__ import annotations

import logging
from pathlib import Path

from tunesmith import TunesmithError, hookimpl, plugin
from tunesmith.errors import choices

logger = logging.getLogger("tunesmith")


@plugin
class Local:
    """Gives the path itself; `~` is the home folder, a relative path starts where the command was called."""

    @hookimpl
    def fetch(self, address: str, revision: str | None) -> Path:
        path = Path(address).expanduser()
        if not address or not path.exists():
            raise TunesmithError(_missing(address, path))
        if revision is not None:
            logger.warning("%s is a local path: revision %s is left aside", address, revision)
        return path


def _missing(address: str, path: Path) -> str:
    """What there is instead, in the deepest folder of the path that exists."""
    folder = path.parent
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    wanted = path.relative_to(folder).parts[0] if path != folder else ""
    lines = [f"there is no file or folder {address!r}" + ("" if path.is_absolute() else f" (looked from {Path.cwd()})")]
    if folder.is_dir():
        there = [item.name for item in folder.iterdir() if not item.name.startswith(".")]
        lines.append(choices(wanted, there, f"in {folder}"))
    return "\n  ".join(lines)
