"""Looking after the processes of a run until all have ended: what they say, what they are told, which one failed."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import FrameType

from tunesmith.errors import RESUMABLE
from tunesmith.messages import logger

from .placing import Placed
from .process import Heard

MISTAKE = 2
"""Exit code of a process that has said what its user is to mend."""

_PASSED_ON = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_KILLED = 137
_PAUSE = 0.1  # seconds between two looks at the processes
_PATIENCE = 2.0  # seconds in which the first process may say of the same mistake what another one said
_UNREACHABLE = 60.0  # seconds without an answer of a machine, after which it is given up
_TAIL = 40  # lines that are shown of what a failed process said


@dataclass
class Signals:
    """What this process was told meanwhile."""

    came: list[int] = field(default_factory=list)
    passed: int = 0  # how many of them were passed on


@dataclass(frozen=True)
class Ended:
    """How the processes ended."""

    code: int
    rank: int | None = None  # that failed first
    machine: str = ""  # where that was
    why: str = ""  # what it said last, or how it was lost; empty where the user has heard it
    said: bool = False  # whether there is nothing more to tell


@contextlib.contextmanager
def passed_on() -> Iterator[Signals]:
    """While entered, signals that this process gets are noted, for `watch` to pass them on."""
    signals = Signals()

    def note(number: int, frame: FrameType | None) -> None:
        signals.came.append(number)

    if threading.current_thread() is not threading.main_thread():  # Python delivers no signals there
        yield signals
        return
    former = {number: signal.signal(number, note) for number in _PASSED_ON}
    try:
        yield signals
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def watch(processes: Sequence[Placed], signals: Signals) -> Ended:
    """Wait until all have ended, or one has failed; what the first says is written here as it comes."""
    codes: dict[int, int] = {}
    lost: dict[int, float] = {}
    while True:
        running = [process for process in processes if process.rank not in codes]
        for number in signals.came[signals.passed :]:
            for process in running:
                process.actor.signal.remote(number)
            signals.passed += 1
        for process, heard in _looked_at(running, lost):
            if isinstance(heard, str):
                return Ended(_KILLED, process.rank, process.where.name, heard, bool(signals.came))
            _write(heard)
            if heard.code is not None:
                codes[process.rank] = heard.code
        failed = [process for process in processes if codes.get(process.rank, 0) not in (0, RESUMABLE)]
        if failed:
            return _failure(failed[0], codes, processes[0], signals)
        if len(codes) == len(processes):
            return Ended(RESUMABLE if RESUMABLE in codes.values() else 0)
        time.sleep(_PAUSE)


def _looked_at(running: Sequence[Placed], lost: dict[int, float]) -> Iterator[tuple[Placed, Heard | str]]:
    """What each running process said, or why it is lost.

    Args:
        lost: since when which ranks do not answer.
    """
    import ray
    from ray.exceptions import ActorUnavailableError, GetTimeoutError, RayError

    asked = [(process, process.actor.poll.remote(process.rank == 0)) for process in running]
    for process, answer in asked:
        try:
            heard = ray.get(answer, timeout=_UNREACHABLE)
            lost.pop(process.rank, None)
            yield process, heard
        except (ActorUnavailableError, GetTimeoutError) as error:
            if time.monotonic() - lost.setdefault(process.rank, time.monotonic()) > _UNREACHABLE:
                yield process, f"its machine does not answer: {_first_line(error)}"
        except RayError as error:
            yield process, f"Ray lost it: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _failure(failed: Placed, codes: dict[int, int], first: Placed, signals: Signals) -> Ended:
    """Of what was said of a failure, what the user has not heard."""
    code = codes[failed.rank]
    if signals.came or (code == MISTAKE and _says_it_too(first, codes)):
        return Ended(code, failed.rank, failed.where.name, said=True)
    if failed is first:
        return Ended(code, failed.rank, failed.where.name)
    last: Heard = failed.ask("poll", True)
    lines = last.err.decode(errors="replace").rstrip().splitlines()[-_TAIL:]
    return Ended(code, failed.rank, failed.where.name, "the end of what it said:\n" + "\n".join(lines) if lines else "")


def _says_it_too(first: Placed, codes: dict[int, int]) -> bool:
    """Whether the first process, whose user hears it, ends with the same mistake within a moment."""
    deadline = time.monotonic() + _PATIENCE
    while first.rank not in codes and time.monotonic() < deadline:
        heard: Heard = first.ask("poll", True)
        _write(heard)
        if heard.code is not None:
            codes[first.rank] = heard.code
        time.sleep(_PAUSE)
    return codes.get(first.rank) == MISTAKE


def _write(heard: Heard) -> None:
    """Hand on what the first process said."""
    for said, stream in ((heard.out, sys.stdout), (heard.err, sys.stderr)):
        if said:
            stream.flush()
            stream.buffer.write(said)
            stream.flush()


def tell(ended: Ended, next_step: str) -> None:
    """Say which process failed, and what it said last.

    Args:
        next_step: what comes now; empty for the end.
    """
    if ended.rank is None or ended.said:
        return
    what = f"exit code {ended.code}"
    heading = f"rank {ended.rank} failed with {what}, so that the others were ended"
    heading += f"; {next_step}" if next_step else ""
    logger.error(f"{heading}; {ended.why}" if ended.why else heading)
