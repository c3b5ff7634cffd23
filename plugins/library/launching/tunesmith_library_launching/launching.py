"""A run of several processes from its start to its end, and again from its last checkpoint where that is wanted."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tunesmith.messages import logger
from tunesmith_library_configuration.folders import RECORD

from tunesmith_library_launching.failures import MISTAKE, Failure, cause
from tunesmith_library_launching.machines import MachineLost, Machines, free_port
from tunesmith_library_launching.overseeing import Attempt, lost
from tunesmith_library_launching.signals import Signals
from tunesmith_library_launching.workers import Care, Group, Worker, start

_INTERRUPTED = 130  # exit code of what stopped at a second Ctrl-C
_COMES_AGAIN = (MISTAKE, 76)  # exit codes of what is not mended by a start: a mistake, numbers that are not finite
AGAIN = ("resume=true", "overwrite=false")
"""What is added to a command so that it goes on from the last checkpoint of its run."""


def launch(command: Sequence[str], group: Group, care: Care | None = None) -> int:
    """Start a command in every process of this machine, and see that all of them end.

    Returns: 0, 75 when the run was interrupted and can be resumed, or the exit code of the process that failed first.
    Raises: TunesmithError when another machine does not come, or does not fit.
    """
    care, began = care or Care(), time.time()
    with Signals() as signals:
        machines = Machines(group, care)
        try:
            machines.meet()
            for number in range(care.restarts + 1):
                left = care.restarts - number
                code, failure = _attempt(number, command, machines, signals, care)
                again = _again(number, failure, machines, signals, left, care.folder, began) if failure else None
                if again is None:
                    return code
                command = [*command, *again]
        finally:
            machines.leave()
    raise AssertionError("the last attempt has an end")


def _attempt(
    number: int, command: Sequence[str], machines: Machines, signals: Signals, care: Care
) -> tuple[int, Failure | None]:
    """One start of all processes: the exit code, and why it failed if it did."""
    group, workers = machines.group, list[Worker]()
    with tempfile.TemporaryDirectory(prefix="tunesmith-processes-", ignore_cleanup_errors=True) as desk:
        attempt = Attempt(number, workers, machines, signals)
        try:
            signals.workers = workers
            master = _meeting_point(attempt, machines)
            for local_rank in range(group.count):
                workers.append(start(command, group, local_rank, master, Path(desk), care.timeout))
            code = attempt.ended(care.timeout)
            if code is not None:
                return code, None
            return _failed(attempt, machines, signals)
        except MachineLost as error:
            failure = lost(error)
            logger.error(failure.described())
            return failure.code, None
        finally:
            for worker in workers:
                worker.end()


def _meeting_point(attempt: Attempt, machines: Machines) -> tuple[str, int]:
    """Host and port where the processes find together: a free port of the first machine, another one at each start."""
    host, key = machines.point, attempt.key("port")
    if machines.is_first:
        machines.write(key, free_port())
    return host, int(machines.read(key))


def _failed(attempt: Attempt, machines: Machines, signals: Signals) -> tuple[int, Failure | None]:
    """Have all machines end, and say why the run failed, once."""
    machines.write(attempt.key("failed"), True)
    mine = attempt.failures()
    if not machines.is_first:
        machines.write(attempt.key("failures", machines.group.machine), [each.as_json() for each in mine])
        why = Failure(**machines.read(attempt.key("cause")))
        logger.error(f"{why.short}: so that the processes of this machine were ended; the first one tells more")
        return why.code, why
    found = attempt.gathered(mine)
    why = cause(found) if found else Failure(0, "", _INTERRUPTED, time.time(), "it was stopped", told=True)
    machines.write(attempt.key("cause"), why.as_json())
    if signals.came and (why.told or why.follows or why.code >= 128):
        return _INTERRUPTED if signals.overdue else why.code, why
    if not (why.told and why.code == MISTAKE) and not _says_it_too(why, found):
        logger.error(why.described())
    return why.code, why


def _says_it_too(why: Failure, found: Sequence[Failure]) -> bool:
    """Whether the first process, whose user hears it, ended with the same mistake."""
    return why.code == MISTAKE and any(each.told and each.code == MISTAKE for each in found)


def _again(
    number: int,
    failure: Failure,
    machines: Machines,
    signals: Signals,
    left: int,
    folder: Path | None,
    began: float,
) -> list[str] | None:
    """What is added to the command when the run is started again; None when it is not. The first machine decides."""
    key = f"again-{number}"
    if machines.is_first:
        again: list[str] | None = None
        if left and failure.code not in _COMES_AGAIN and not signals.came:
            again = list(AGAIN) if has_begun(folder, began) else []
            where = "from its last checkpoint" if again else "from its beginning"
            logger.warning(f"restart {number + 1} of {number + left}, {where}, for {failure.short}")
        machines.write(key, again)
    try:
        words: list[str] | None = machines.read(key)
    except MachineLost:
        return None
    return words


def has_begun(folder: Path | None, began: float) -> bool:
    """Whether a run has its folder, so that it can go on; a former one's, from before it `began`, does not count."""
    record = folder / RECORD if folder else None
    return record is not None and record.is_file() and record.stat().st_mtime >= began - 1
