"""Seeing to the processes of one machine until all have ended, or one has failed anywhere."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence

from tunesmith.errors import RESUMABLE

from tunesmith_library_launching import hanging
from tunesmith_library_launching.failures import MISTAKE, Failure
from tunesmith_library_launching.machines import MachineLost, Machines
from tunesmith_library_launching.signals import Signals
from tunesmith_library_launching.workers import Worker

_PAUSE = 0.05  # seconds between two looks at the processes
_ASKING = 0.5  # seconds between two looks at the other machines, and at where processes stand
_FIRST_CAUSE = 5.0  # seconds in which the process may end whose end others only noticed
_ELSEWHERE = 1.0  # seconds in which they may end when another machine was the first to notice
_SAYS_IT_TOO = 2.0  # seconds in which the first process may say of the same mistake what another one said


class Attempt:
    """One start of the processes, on this machine; `number` counts them from 0."""

    def __init__(self, number: int, workers: Sequence[Worker], machines: Machines, signals: Signals) -> None:
        self._number = number
        self._workers = workers
        self._machines = machines
        self._signals = signals
        self._asked = 0.0  # when the others were asked last
        self._told_signal = False
        self.hung: Failure | None = None

    def key(self, *parts: object) -> str:
        """What of this attempt something is told under."""
        return "/".join(map(str, (f"attempt-{self._number}", *parts)))

    def ended(self, timeout: float) -> int | None:
        """Wait until all processes of all machines have ended.

        Args:
            timeout: seconds without any progress after which they hang.

        Returns: 0, or 75 when they were interrupted and can go on; None when one has failed, here or elsewhere, or they
            hang (`hung`).
        Raises: MachineLost when the first machine does not answer any more.
        """
        mine, told = self.key("done", self._machines.group.machine), False
        while True:
            codes = [worker.code for worker in self._workers]  # first: one may fail between the two looks
            if any(worker.failed for worker in self._workers) or self._signals.overdue:
                return None
            if None not in codes and not told:
                told = True
                self._machines.write(mine, RESUMABLE if RESUMABLE in codes else 0)
            due = self._is_time_to_ask()
            if told and (due or self._machines.is_alone) and self._all_done():
                return self._code()
            if due and (self._elsewhere() or self._is_stuck(timeout)):
                return None
            time.sleep(_PAUSE)

    def _is_time_to_ask(self) -> bool:
        now = time.monotonic()
        due = now - self._asked > _ASKING
        self._asked = now if due else self._asked
        return due

    def _all_done(self) -> bool:
        return self._machines.has(*(self.key("done", machine) for machine in range(self._machines.group.machines)))

    def _code(self) -> int:
        codes = [self._machines.read(self.key("done", number)) for number in range(self._machines.group.machines)]
        return RESUMABLE if RESUMABLE in codes else 0

    def _elsewhere(self) -> bool:
        """Whether another machine has told of a failure; an interruption that one heard goes to all."""
        if self._machines.is_alone:
            return False
        if self._signals.came and not self._told_signal:
            self._machines.write("interrupted", True)
        elif not self._told_signal and self._machines.has("interrupted"):
            self._signals.interrupt()
        self._told_signal = self._signals.came
        return self._machines.has(self.key("failed"))

    def _is_stuck(self, timeout: float) -> bool:
        """Whether no process of any machine moves; the first machine finds out."""
        places = hanging.stuck(self._workers, timeout)
        if not self._machines.is_alone:
            mine = self.key("stuck", self._machines.group.machine)
            if places is not None or self._machines.has(mine):
                self._machines.write(mine, places)
        if not self._machines.is_first or places is None:
            return False
        keys = [self.key("stuck", number) for number in range(1, self._machines.group.machines)]
        if not self._machines.has(*keys) or None in (others := [self._machines.read(key) for key in keys]):
            return False
        for each in others:
            places |= {int(rank): place for rank, place in each.items()}
        if not places:
            return False
        away = hanging.missing(places)
        text = hanging.described(places, timeout)
        self.hung = Failure(min(away, default=0), platform.node(), 1, time.time(), text, hung=True)
        return True

    def failures(self) -> list[Failure]:
        """How the processes of this machine ended that failed; the others are ended.

        Those that only noticed the end of another are given time to be followed by it, and the first process to say
        what its user can mend.
        """
        found: dict[int, Failure] = {}
        since = time.monotonic()
        while self.hung is None and not self._signals.overdue:
            ended = all(worker.code is not None for worker in self._workers)  # first: one may fail between the looks
            found |= {worker.rank: worker.failure() for worker in self._workers if worker.failed}
            if ended or time.monotonic() - since > _patience(list(found.values())):
                break
            time.sleep(_PAUSE)
        for worker in self._workers:
            worker.end()
        return [self.hung] if self.hung else list(found.values())

    def gathered(self, mine: Sequence[Failure]) -> list[Failure]:
        """What failed on all machines; the first one asks, and takes one that does not answer for the cause."""
        group = self._machines.group
        others = {machine: self.key("failures", machine) for machine in range(1, group.machines)}
        answers = self._machines.wait_for(list(others.values()), 2 * _FIRST_CAUSE + _SAYS_IT_TOO)
        found = [*mine, *(Failure(**each) for answer in answers.values() for each in answer)]
        for machine, key in others.items():
            if key not in answers:
                host, rank = self._machines.host(machine), machine * group.count
                text = f"machine {machine} ({host}) does not answer any more"
                found.append(Failure(rank, host, 1, time.time(), text, lost=True))
        return found


def _patience(found: Sequence[Failure]) -> float:
    """How many seconds the others are left after some have failed."""
    real = [failure for failure in found if not failure.follows]
    if not real:
        return _FIRST_CAUSE if found else _ELSEWHERE
    mistaken = all(failure.code == MISTAKE for failure in real) and not any(failure.told for failure in real)
    return _SAYS_IT_TOO if mistaken else 0.0


def lost(error: MachineLost) -> Failure:
    """The failure of the first machine, as another one sees it."""
    return Failure(0, "", 1, time.time(), str(error), lost=True)
