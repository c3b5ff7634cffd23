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
from tunesmith_library_launching import hanging
from tunesmith_library_launching.failures import MISTAKE, Failure, cause

from .placing import Placed
from .process import Heard

_HEARD = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_INTERRUPTED = 130  # exit code of what stopped at a second Ctrl-C
_KILLED = 137
_PAUSE = 0.1  # seconds between two looks at the processes
_FIRST_CAUSE = 2.0  # seconds in which the cause of a failure may follow one that it had
_UNREACHABLE = 60.0  # seconds without an answer of a machine, after which it is given up
_TOGETHER, _STOPPING = 1.0, 5.0  # seconds in which two signals are one; that a process has to stop at once


@dataclass
class Signals:
    """What this process was told meanwhile."""

    came: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    passed: int = 0  # how many of them were passed on

    @property
    def overdue(self) -> bool:
        """Whether what was told to stop at once runs still."""
        seconds = [at for at in self.times if at - self.times[0] > _TOGETHER]
        return bool(seconds) and time.monotonic() - seconds[0] > _STOPPING


@dataclass(frozen=True)
class Ended:
    """How the processes ended."""

    code: int
    failure: Failure | None = None  # the first real cause
    said: bool = False  # whether there is nothing more to tell


@contextlib.contextmanager
def passed_on() -> Iterator[Signals]:
    """While entered, signals that this process gets are noted, for `watch` to pass them on."""
    signals = Signals()

    def note(number: int, frame: FrameType | None) -> None:
        signals.times.append(time.monotonic())
        signals.came.append(number if number == signal.SIGINT else signal.SIGTERM)

    if threading.current_thread() is not threading.main_thread():  # Python delivers no signals there
        yield signals
        return
    former = {number: signal.signal(number, note) for number in _HEARD}
    try:
        yield signals
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def watch(processes: Sequence[Placed], signals: Signals, timeout: float) -> Ended:
    """Wait until all have ended, or one has failed; what the first says is written here as it comes.

    Args:
        timeout: seconds without any progress after which processes hang.
    """
    codes: dict[int, int] = {}
    lost: dict[int, float] = {}
    while True:
        running = [process for process in processes if process.rank not in codes]
        for number in signals.came[signals.passed :]:
            for process in running:
                process.actor.signal.remote(number)
            signals.passed += 1
        still, reported = [], False
        for process, heard in _looked_at(running, lost):
            if isinstance(heard, str):
                return Ended(_KILLED, _lost(process, heard), bool(signals.came))
            _write(heard)
            still.append(heard.still)
            reported = reported or heard.reported
            if heard.code is not None:
                codes[process.rank] = heard.code
        if reported or any(code not in (0, RESUMABLE) for code in codes.values()):
            return _failed(processes, codes, signals)
        if len(codes) == len(processes):
            return Ended(RESUMABLE if RESUMABLE in codes.values() else 0)
        if signals.overdue:
            return Ended(_INTERRUPTED, said=True)
        if still and min(still) > timeout:
            return hung([process for process in running if process.rank not in codes], timeout)
        time.sleep(_PAUSE)


def _looked_at(running: Sequence[Placed], lost: dict[int, float]) -> Iterator[tuple[Placed, Heard | str]]:
    """What each running process said, or why it is lost.

    Args:
        lost: since when which ranks do not answer.
    """
    import ray
    from ray.exceptions import ActorUnavailableError, GetTimeoutError, RayError

    asked = [(process, process.actor.poll.remote()) for process in running]
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


def _lost(process: Placed, why: str) -> Failure:
    return Failure(process.rank, process.where.name, _KILLED, time.time(), why)


def _failed(processes: Sequence[Placed], codes: dict[int, int], signals: Signals) -> Ended:
    """Which failure was the first real one; others may have noticed its consequences alone, and have told first."""
    found: dict[int, Failure] = {}
    deadline = time.monotonic() + _FIRST_CAUSE
    while time.monotonic() < deadline and len(codes) < len(processes):
        for process, heard in _looked_at([each for each in processes if each.rank not in codes], {}):
            if isinstance(heard, str):
                found[process.rank] = _lost(process, heard)
                codes[process.rank] = _KILLED
                continue
            _write(heard)
            if heard.code is not None:
                codes[process.rank] = heard.code
        time.sleep(_PAUSE)
    for process in processes:
        if process.rank not in found and codes.get(process.rank) not in (0, RESUMABLE):
            failure = _failure_of(process)
            found |= {process.rank: failure} if failure is not None else {}
    why = cause(list(found.values()))
    heard_it = why.code == MISTAKE and any(each.told and each.code == MISTAKE for each in found.values())
    interrupted = bool(signals.came) and (why.told or why.follows or why.code > 128)
    return Ended(why.code, why, heard_it or interrupted)


def _failure_of(process: Placed) -> Failure | None:
    """How a process failed, if it has."""
    from ray.exceptions import RayError

    try:
        failure: Failure | None = process.ask("failure", process.rank, process.where.name)
    except RayError as error:
        return _lost(process, f"Ray lost it: {_first_line(error)}")
    return failure


def hung(processes: Sequence[Placed], timeout: float) -> Ended:
    """Which processes did not come to where the others wait."""
    places = {process.rank: process.ask("place") for process in processes}
    first = min(hanging.missing(places), default=processes[0].rank)
    name = next(process.where.name for process in processes if process.rank == first)
    return Ended(1, Failure(first, name, 1, time.time(), hanging.described(places, timeout), hung=True))


def _write(heard: Heard) -> None:
    """Hand on what the first process said."""
    for said, stream in ((heard.out, sys.stdout), (heard.err, sys.stderr)):
        if said:
            stream.flush()
            stream.buffer.write(said)
            stream.flush()


def tell(ended: Ended) -> None:
    """Say which process failed, and why, unless that was said."""
    if ended.failure is not None and not ended.said:
        logger.error(ended.failure.described())
