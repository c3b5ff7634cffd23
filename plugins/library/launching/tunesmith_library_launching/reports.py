"""What a process that was launched reports to its launcher: the error that ends it, and where it is.

Both go into files of a folder that the launcher made, so that they are there however the process ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
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
_WAITING_IN = re.compile(r"[/\\](torch[/\\](distributed|autograd|cuda|nn[/\\]parallel)|deepspeed[/\\]comm)[/\\]")
_WAITING_AT = re.compile(r"\.item\(\)|\.tolist\(\)|\.cpu\(\)|synchronize\(|wait\(|barrier\(")
_TICKS_A_SECOND = 100  # of Linux
_SHARE = 0.05  # of the time, in which a thread that only waits does not compute
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

    As long as a process is at work, however long that takes, its stack moves, or bytes go to or from a disk, or it
    computes, or its children do: where it encodes, saves, or makes batches. In a collective operation that does not end
    nothing of this moves, but for a thread that asks a device all the time, which does not count. This needs no
    counting in the operations themselves, and so holds for all backends.
    """

    def __init__(self, file: Path, timeout: float) -> None:
        super().__init__(name="tunesmith-pulse", daemon=True)
        self._file = file
        self._pause = min(5.0, timeout / 10)  # seconds
        self._ticks = 0  # in which it has computed, when last looked at

    def run(self) -> None:
        """Look until the process ends."""
        seen: object = None
        while True:
            frame = sys._current_frames().get(threading.main_thread().ident or 0)
            stack, place = _stack(frame), _written(frame)
            del frame  # it would keep what its functions hold
            if (stack, _transferred()) != seen or self._computes(place):
                with contextlib.suppress(OSError):  # the launcher is gone
                    self._file.write_text(place, encoding="utf-8")
                seen = (stack, _transferred())  # with what was written just now
            time.sleep(self._pause)

    def _computes(self, place: str) -> bool:
        """Whether the main thread has computed since, more than waking up now and then takes, or children have."""
        main = [] if waits(place) else [f"/proc/self/task/{os.getpid()}/stat"]
        before, self._ticks = self._ticks, sum(map(_ticks, [*main, *_childrens()]))
        return self._ticks - before > _SHARE * self._pause * _TICKS_A_SECOND


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


def _childrens() -> Iterator[str]:
    """The children that run Python, as those do that make batches; a tracker's own may compute all the time."""
    for listed in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # it has just ended
            for child in listed.read_text(encoding="ascii").split():
                if os.readlink(f"/proc/{child}/exe") == os.readlink("/proc/self/exe"):
                    yield f"/proc/{child}/stat"


def _ticks(file: str) -> int:
    """In how many ticks of the system's clock a process or thread has computed; 0 where the system does not tell."""
    try:
        fields = Path(file).read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


def innermost(place: str) -> str:
    """The last call of a stack as `traceback` writes it: the line that says where, and its code."""
    lines = place.rstrip().splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("  File ")]
    return "\n".join(lines[starts[-1] :]) if starts else ""


def waits(place: str) -> bool:
    """Whether a stack ends in torch's communication, or where a device is asked for what others may hold up."""
    where, _, code = innermost(place).partition("\n")
    return bool(_WAITING_IN.search(where) or _WAITING_AT.search(code))
