"""Which of the jobs that wait may start, and on which devices. Pure: what is there goes in, what to do comes out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tunesmith_library_studio.jobs.job import ACTIVE, ENDED, Job
from tunesmith_library_studio.jobs.reasons import Reason, reason

ANY, CPU, NONE = "any", "cpu", "none"
"""What a job may want beside numbers of GPUs: one that is free; a turn of the processor; nothing, so that it never
waits for a device."""


@dataclass(frozen=True)
class Rules:
    """What the user says of the queue."""

    cpu_jobs: int = 1  # jobs that compute on the processor at a time
    paused: bool = False  # whether nothing that waits is started


@dataclass(frozen=True)
class Turn:
    """What becomes of a job that waits: it starts, fails, or waits on, with the reason for the latter two."""

    job: Job
    starts: bool = False
    fails: bool = False
    devices: tuple[str, ...] = ()
    why: Reason = field(default_factory=dict)


def turns(jobs: Sequence[Job], free_memory: Mapping[str, float], rules: Rules) -> list[Turn]:
    """What becomes of each job that waits, the first in the queue first.

    A job that waits for devices keeps those that it named from later ones: else one that wants two would never start.

    Args:
        jobs: all that are known.
        free_memory: bytes by the number of each GPU of this machine; empty where there is none.
    """
    known = {job.id: job for job in jobs}
    active = [job for job in jobs if job.state in ACTIVE]
    taken = Counter(device for job in active for device in job.devices)
    found = []
    for job in sorted((job for job in jobs if job.state == "queued"), key=lambda job: (job.place, job.created)):
        turn = _before(job, known) or _devices_of(job, taken, free_memory, rules)
        if rules.paused and job.queued and not turn.fails:
            turn = Turn(job, why=reason("paused"))
        elif turn.starts or turn.devices:
            taken.update(turn.devices)
        found.append(turn if turn.starts else replace(turn, devices=()))
    return found


def _before(job: Job, known: Mapping[str, Job]) -> Turn | None:
    """What becomes of a job because of those that it comes after; None where they are done."""
    for other in (known.get(id) for id in job.after):
        if other is None or (other.state in ENDED and other.state != "done"):
            missed = reason("missed", title=other.title, state=other.state) if other else reason("removed")
            return Turn(job, fails=True, why=missed)
        if other.state != "done":
            return Turn(job, why=reason("after", title=other.title))
    return None


def _devices_of(job: Job, taken: Counter[str], free_memory: Mapping[str, float], rules: Rules) -> Turn:
    given: list[str] = []
    waits: list[str] = []
    if free_memory and job.wanted.count(ANY) > len(free_memory):
        return Turn(job, fails=True, why=reason("few", wanted=job.wanted.count(ANY), there=len(free_memory)))
    for wanted in job.wanted or [ANY]:
        device = wanted if wanted != ANY or free_memory else CPU
        if device == NONE:
            continue
        if device == CPU:
            waits += [] if taken[CPU] + given.count(CPU) < rules.cpu_jobs else [CPU]
            given += [CPU]
        elif device == ANY:
            free = [name for name in free_memory if not taken[name] and name not in (*given, *job.wanted)]
            waits += [] if free else [ANY]
            given += [max(free, key=lambda name: free_memory[name])] if free else []
        elif device not in free_memory:
            return Turn(job, fails=True, why=reason("absent", device=device, devices=[*free_memory]))
        else:
            waits += [device] if taken[device] else []
            given += [device]
    if waits and job.queued:
        return Turn(job, devices=tuple(given), why=reason("waits", devices=[*dict.fromkeys(waits)]))
    return Turn(job, starts=True, devices=tuple(dict.fromkeys(given)))
