"""The first of the processes that try a program: it isolates, starts the judge, and says the verdict."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from .isolation import DEVICES, give_up_rights, in_namespaces, leaving, limit, protect, visible
from .judging import judge
from .reaping import adopt, end_children
from .restriction import restrict

PASSED = b"passed"
_PROCESSES = 64  # at the same time, threads included
# A package of this name without what imports the kernel; installed packages without what `site` does at each start.
_START = """
import sys, types, site
site.setquit()
sys.path += sys.argv.pop(2).split(":::")
package = types.ModuleType("tunesmith_reward_code")
package.__path__ = [sys.argv[1]]
sys.modules[package.__name__] = package
from tunesmith_reward_code.{module} import main
main()
"""


def command(module: str, *arguments: str) -> list[str]:
    """A Python of its own that runs a module of this package.

    -I: neither the user's packages nor the current folder nor PYTHON* variables.
    """
    installed = ":::".join(path for path in sys.path if path.endswith("-packages"))
    start = _START.format(module=module)
    return [sys.executable, "-I", "-S", "-c", start, str(Path(__file__).parent), installed, *arguments]


def main() -> None:
    """Arguments: isolation, MiB of memory, seconds, folder; program and test come on the standard input."""
    isolation, memory, seconds, folder = sys.argv[2:]
    asked = json.load(sys.stdin.buffer)
    verdict = _silenced()

    def work() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        limit(int(memory), int(seconds), _PROCESSES if isolation in ("namespaces", "bubblewrap") else None)
        give_up_rights()
        protect()  # again, for a change of rights undoes it
        if isolation == "landlock":
            restrict([*visible(), "/proc"], [folder, *(f"/dev/{name}" for name in DEVICES)])
        if judge(asked["program"], asked["test"], command("answering")):
            os.write(verdict, PASSED)

    protect()
    if isolation == "namespaces":
        in_namespaces(Path(folder), work)
    elif hasattr(os, "fork"):
        _supervised(work)
    else:
        work()
    os._exit(0)


def _silenced() -> int:
    """Give the test no input and no output; returns the former output, on which the verdict goes."""
    kept, nothing = os.dup(1), os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    sys.stdin, sys.stdout = os.fdopen(0, "r", encoding="utf-8"), os.fdopen(1, "w", encoding="utf-8", errors="replace")
    return kept


def _supervised(work: Callable[[], None]) -> None:
    """Do something in a process of its own, and end everything that it started and that is still there.

    On Linux that is also what has left its session, and what goes on when its parent was killed.
    """

    def stop(*_: object) -> None:
        end_children()
        os._exit(1)

    adopt()
    signal.signal(signal.SIGTERM, stop)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with leaving():
            work()
    os.waitpid(child, 0)
    end_children()
