"""Runs that train without being jobs: started at a terminal, by a cluster, on another machine. Their locks tell."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from tunesmith_library_configuration.locks import IN_FOLDER, holder

from tunesmith_library_studio.jobs.job import Job

PREFIX = "run:"
"""What the id of such a run begins with; its name follows."""
_DEPTH = 2  # folders below that of the runs


def running(runs: Path, root: Path, known: Collection[str] = ()) -> list[Job]:
    """The runs of a folder that some process trains.

    Args:
        known: names of those that jobs are known to train.
    """
    found = [_job(folder, runs, root) for folder in _locked(runs, _DEPTH)]
    return [job for job in found if job is not None and job.run not in known]


def held(runs: Path, root: Path, name: str) -> Job | None:
    """One of them by its name; None where nobody trains there."""
    folder = (runs / name).resolve()
    return _job(folder, runs, root) if folder.is_relative_to(runs) else None


def _locked(folder: Path, depth: int) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if entry.name.startswith(".") or not entry.is_dir():
                continue
            if os.path.exists(os.path.join(entry.path, IN_FOLDER)):
                yield Path(entry.path)
            elif depth > 1 and not os.path.exists(os.path.join(entry.path, "run.yaml")):
                yield from _locked(Path(entry.path), depth - 1)


def _job(folder: Path, runs: Path, root: Path) -> Job | None:
    found = holder(folder / IN_FOLDER)
    if found is None:
        return None
    owner, told = found
    name = str(folder.relative_to(runs))
    return Job(
        id=f"{PREFIX}{name}",
        kind="train",
        title=name,
        command=[],
        root=root,
        run=name,
        state="running",
        owner=owner,
        started=_since(str(told.get("since", ""))),
        log=folder / "log",
        elsewhere=True,
    )


def _since(text: str) -> float | None:
    with contextlib.suppress(ValueError):
        return time.mktime(time.strptime(text, "%Y-%m-%d %H:%M:%S"))
    return None
