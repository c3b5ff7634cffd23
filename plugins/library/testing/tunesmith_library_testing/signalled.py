"""Whether a launcher passes a signal on to its processes, each once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

_COUNTS_SIGNALS = """
import os, pathlib, signal, sys, time
heard = []
signal.signal(signal.SIGINT, lambda *_: heard.append(1))
pathlib.Path(sys.argv[1], "ready-" + os.environ["RANK"]).touch()
while not heard:
    time.sleep(0.01)
time.sleep(0.5)
pathlib.Path(sys.argv[1], "heard-" + os.environ["RANK"]).write_text(str(len(heard)))
sys.exit(75)
"""


def passes_on_once(launch: Callable[[str, Path], int], folder: Path) -> None:
    """Interrupt a launcher as a terminal does; its processes, two, are to hear of it once, and its own code is theirs.

    Args:
        launch: runs a program of Python in two processes, with a folder as its argument, and gives the exit code.
        folder: an empty one.
    """

    def interrupt() -> None:
        wait_for(folder / "ready-0", folder / "ready-1")
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    before = signal.getsignal(signal.SIGINT)
    assert launch(_COUNTS_SIGNALS, folder) == 75
    assert [(folder / f"heard-{rank}").read_text() for rank in (0, 1)] == ["1", "1"]
    assert signal.getsignal(signal.SIGINT) is before


def wait_for(*files: Path) -> None:
    """Wait until files are there, a minute at most."""
    deadline = time.monotonic() + 60
    while not all(file.exists() for file in files):
        assert time.monotonic() < deadline, f"{files} never came"
        time.sleep(0.02)
