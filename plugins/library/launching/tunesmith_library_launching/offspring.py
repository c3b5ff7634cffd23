"""What a process started and left, wherever it went: compilers that ninja puts in process groups of their own.

Children inherit the environment, so that they are known by it when their parents have gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path

_LOOKS = 5  # a process may start another while it is looked for


def kill_marked(marks: Mapping[str, str], processes: Path = Path("/proc")) -> None:
    """Kill all processes of this user that were started with these variables; nothing happens where no /proc is.

    Args:
        marks: variables that were given to one process alone, which it handed on.
    """
    wanted = {f"{name}={value}".encode() for name, value in marks.items()}
    for _ in range(_LOOKS):
        found = [number for number in _running(processes) if wanted <= _environment(processes / str(number))]
        for number in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(number, signal.SIGKILL)
        if not found:
            return


def _running(processes: Path) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(name) for name in os.listdir(processes) if name.isdigit() and int(name) != os.getpid()]
    return []


def _environment(process: Path) -> set[bytes]:
    """Its variables; empty for another user's, and for one that has ended."""
    with contextlib.suppress(OSError):
        return set((process / "environ").read_bytes().split(b"\0"))
    return set()
