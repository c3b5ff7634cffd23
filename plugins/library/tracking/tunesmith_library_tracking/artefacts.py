"""The files of a finished model, as they lie in a run's folder."""

from __future__ import annotations

from pathlib import Path


def files(folder: Path) -> list[Path]:
    """The files that a result is made of: right in its folder, not below, where checkpoints are."""
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
