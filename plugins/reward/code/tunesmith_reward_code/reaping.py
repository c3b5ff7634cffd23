"""The end of processes that have left the session and the group of the process that started them."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

from .isolation import adopt_orphans


def adopt() -> None:
    """Become the parent of whatever descendants lose theirs. Does nothing where the system cannot."""
    if sys.platform == "linux":
        adopt_orphans()


def end_children() -> None:
    """End all descendants and wait until none is left.

    They are stopped before they are killed, for those that start others faster than they are counted.
    """
    while sys.platform == "linux":
        found = _descendants(os.getpid())
        for sent in (signal.SIGSTOP, signal.SIGKILL):
            for process in found:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(process, sent)
        try:
            while os.waitpid(-1, 0 if found else os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return


def _descendants(ancestor: int) -> list[int]:
    parents = {}
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(ValueError, OSError, IndexError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found, new = [], [ancestor]
    while new:
        new = [process for process, parent in parents.items() if parent in new]
        found += new
    return found
