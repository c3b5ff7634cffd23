"""What a process that was launched reports to its launcher: the error that ends it, and where it is.

Both go into files of a folder that the launcher made, so that they are there however the process ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType

from tunesmith_library_configuration.secrets import hidden

from tunesmith_library_launching.failures import is_follow_up

DESK = "TUNESMITH_DESK"
"""Environment variable with the launcher's folder."""
PATIENCE = "TUNESMITH_TIMEOUT"
"""Environment variable with the seconds after which processes without progress hang."""
_FRAMES = 12  # innermost ones that are shown of a stack


def begin() -> None:
    """Report to the launcher from now on, if there is one; a second call changes nothing."""
    desk, rank = os.environ.get(DESK), os.environ.get("RANK")
    if not desk or rank is None or any(isinstance(thread, Pulse) for thread in threading.enumerate()):
        return
    _report_errors(error_file(Path(desk), int(rank)))
    Pulse(pulse_file(Path(desk), int(rank)), float(os.environ.get(PATIENCE, "1800"))).start()


def error_file(desk: Path, rank: int) -> Path:
    """Where a process writes what ends it: `time`, `text` and `follows` of a `Failure`, as JSON."""
    return desk / f"error-{rank}.json"


def pulse_file(desk: Path, rank: int) -> Path:
    """Where a process writes what it is at; its time is that of the last progress."""
    return desk / f"pulse-{rank}"


def _report_errors(file: Path) -> None:
    """Have what nobody catches written for the launcher, which shows the first real cause, once."""
    process, former = os.getpid(), sys.excepthook

    def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if os.getpid() != process:  # of a forked child
            former(kind, error, trace)
            return
        text = hidden("".join(traceback.format_exception(kind, error, trace)))
        told = {"time": time.time(), "text": text, "follows": is_follow_up(_chain(error))}
        draft = file.with_suffix(".draft")
        try:
            draft.write_text(json.dumps(told), encoding="utf-8")
            draft.replace(file)
        except OSError:  # the launcher and its folder are gone
            former(kind, error, trace)

    sys.excepthook = report


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and those that it comes of."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


class Pulse(threading.Thread):
    """Looks now and then at what the main thread is at, and whether anything has moved since.

    Its stack moves, or bytes go to or from a disk, or its children compute, as long as a process is at work, however
    long that takes: encoding, saving, making batches. In a collective operation that does not end nothing of this
    moves. This needs no counting in the operations themselves, and so holds for all backends.
    """

    def __init__(self, file: Path, timeout: float) -> None:
        super().__init__(name="tunesmith-pulse", daemon=True)
        self._file = file
        self._pause = min(5.0, timeout / 10)  # seconds

    def run(self) -> None:
        """Look until the process ends."""
        seen: object = None
        while True:
            frame = sys._current_frames().get(threading.main_thread().ident or 0)
            stack, moved = _stack(frame), (_transferred(), _childrens_time())
            if (stack, moved) != seen:
                seen = (stack, moved)
                with contextlib.suppress(OSError):  # the launcher is gone
                    self._file.write_text(_written(frame), encoding="utf-8")
            del frame  # it would keep what its functions hold
            time.sleep(self._pause)


def _stack(frame: FrameType | None) -> tuple[tuple[int, int], ...]:
    """Where each function of a thread is."""
    found = []
    while frame is not None:
        found.append((id(frame.f_code), frame.f_lasti))
        frame = frame.f_back
    return tuple(found)


def _written(frame: FrameType | None) -> str:
    """The innermost functions of a thread, the last call last."""
    return "".join(traceback.format_stack(frame, limit=None)[-_FRAMES:]) if frame else ""


def _transferred() -> int:
    """Bytes that this process has read from disks and written to them; 0 where the system does not tell."""
    try:
        lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("read_bytes", "write_bytes")))


def _childrens_time() -> int:
    """Ticks in which children that run Python computed, as those do that make batches; a tracker's own do not count."""
    ticks = 0
    for listed in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # it has just ended
            for child in listed.read_text(encoding="ascii").split():
                if os.readlink(f"/proc/{child}/exe") == os.readlink("/proc/self/exe"):
                    fields = Path(f"/proc/{child}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
                    ticks += int(fields[11]) + int(fields[12])
    return ticks
