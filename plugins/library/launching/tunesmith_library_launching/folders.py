"""Whether the machines of a run write to the same folder: the first one leaves a mark there, the others look for it.

What a run makes is written by its first process, so that machines with folders of their own train as well; but going on
from a checkpoint needs it everywhere, and spread weights are written by all.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tunesmith_library_launching.workers import Care

_PREFIX = ".machines-"
PATIENCE = 5.0
"""Seconds until a file is seen over a network."""


@contextlib.contextmanager
def marked(folder: Path | None) -> Iterator[dict[str, str] | None]:
    """Leave a mark in a folder, which is made; gives the mark's name, and the newest checkpoint."""
    if folder is None:
        yield None
        return
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / f"{_PREFIX}{uuid.uuid4().hex}"
    mark.touch()
    try:
        yield {"mark": mark.name, "newest": newest(folder)}
    finally:
        mark.unlink(missing_ok=True)


def seen(folder: Path | None, mark: Mapping[str, str] | None, resume: bool) -> dict[str, Any]:
    """What another machine finds: whether the folder is the same, and whether it has the same newest checkpoint."""
    if folder is None or mark is None:
        return {"same": True, "resumes": True}
    deadline = time.monotonic() + PATIENCE
    while not (found := _has(folder, mark["mark"])) and folder.is_dir() and time.monotonic() < deadline:
        time.sleep(0.1)
    return {"same": found, "resumes": not resume or newest(folder) == mark["newest"]}


def compared(told: Mapping[int, Mapping[str, Any]], care: Care) -> tuple[str, str]:
    """What is wrong with the folders that the machines have, and what is to be said of them.

    Args:
        told: what each other machine has found, with its `host`.
    """
    others = [machine for machine, each in told.items() if not each["same"]]
    if not others:
        return "", ""
    names = ", ".join(f"{machine} ({told[machine]['host']})" for machine in others)
    heading = f"output_dir={care.folder} is on machine {names} another folder than on the first"
    advice = "name a folder that all machines share: output_dir=/shared/NAME"
    if care.spreads:
        return f"{heading}, and every process writes its share of the weights there.\n{advice}", ""
    if care.restarts:
        return f"{heading}, and parallel.restarts goes on from checkpoints, which all of them read.\n{advice}", ""
    if not all(told[machine]["resumes"] for machine in others):
        return f"{heading}, and it has another newest checkpoint.\ncopy the first one's there, or {advice}", ""
    return "", f"{heading}; what the run makes is written on the first one alone, and resume=true needs it on all"


def newest(folder: Path) -> str:
    """The name of the newest checkpoint; empty when there is none."""
    numbers = [int(name) for each in folder.glob("checkpoint-*") if (name := each.name.partition("-")[2]).isdigit()]
    return f"checkpoint-{max(numbers)}" if numbers else ""


def _has(folder: Path, name: str) -> bool:
    """Whether a file is there, also where a network file system remembers for a while that it was not."""
    with contextlib.suppress(OSError):
        return name in os.listdir(folder)
    return False
