"""A program that ends with the one that started it, however that ends: `python …/bound.py PARENT PROGRAM ARGUMENT…`.

The bond is made in the new process itself: between fork and exec nothing of Python is safe where threads run, such as
those of torch, whose objects are deleted in a fork. This file is run by its path, and imports nothing installed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux' prctl(2)
_HEARS = "hears"


def bound(command: Sequence[str], *, hears: bool = False) -> list[str]:
    """The command by which another one is started that ends with this process; on Linux, elsewhere it is not bound.

    The bond is to the thread that starts it: the program ends with that.

    Args:
        command: a program and its arguments.
        hears: whether it hears the signals that this process has blocked or leaves unheard.
    """
    if os.name != "posix" or not (hears or sys.platform.startswith("linux")):
        return [*command]
    return [sys.executable, "-I", "-S", __file__, f"{os.getpid()}{_HEARS if hears else ''}", *command]


def end_with_parent(parent: int) -> None:
    """Have Linux kill this process when its parent ends, however that ends; elsewhere nothing happens.

    Args:
        parent: its number, as the parent itself knows it; this process ends at once when that one has gone already.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Bind this process, and become the program."""
    parent = sys.argv[1]
    end_with_parent(int(parent.removesuffix(_HEARS)))
    unheard = [signal.SIGPIPE, signal.SIGXFSZ]  # by every Python, which a program that it becomes would inherit
    if parent.endswith(_HEARS):
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        unheard += [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    for number in unheard:
        signal.signal(number, signal.SIG_DFL)
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
