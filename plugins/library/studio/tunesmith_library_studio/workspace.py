"""The folders that a front end may read and write, and where it keeps what it knows of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tunesmith import TunesmithError

_STATE = ".studio"


class OutsideWorkspace(TunesmithError):
    """A path leads out of the folders that were allowed."""


class Workspace:
    """A folder in which relative paths start, the folder of the runs, and further ones that were allowed.

    Args:
        runs: where runs are written and looked for; it need not be there yet.
        root: where relative paths start, as on the command line; the current folder by default.
        allowed: further folders whose files may be read, such as one of models or of data.
    """

    def __init__(self, runs: Path, root: Path | None = None, allowed: Sequence[Path] = ()) -> None:
        self.root = (root or Path.cwd()).resolve()
        self.runs = (self.root / runs.expanduser()).resolve()
        self.folders = (self.root, self.runs, *((self.root / path.expanduser()).resolve() for path in allowed))

    @property
    def state(self) -> Path:
        """The folder of what a front end keeps: jobs, tags, what was deleted. It is made."""
        folder = self.runs / _STATE
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def path(self, written: str | Path) -> Path:
        """A path as a user wrote it, resolved, links followed.

        Raises: OutsideWorkspace where it leads out of all folders.
        """
        path = (self.root / Path(written).expanduser()).resolve()
        if not any(path.is_relative_to(folder) for folder in self.folders):
            raise OutsideWorkspace(
                f"{written} lies outside of the workspace.\n"
                f"  possible: paths in {', '.join(map(str, dict.fromkeys(self.folders)))}\n"
                f"  to allow another folder, start with --allow {path if path.is_dir() else path.parent}"
            )
        return path

    def shown(self, path: Path) -> str:
        """A path as a user would write it: relative to the root where it lies in it."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)
