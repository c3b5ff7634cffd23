"""Topics of jobs: `jobs`, all of them; `job:ID`, one and its log as it grows."""

from __future__ import annotations

from dataclasses import asdict
from typing import Protocol

from tunesmith_library_studio.jobs.job import ENDED, Job
from tunesmith_library_studio.jobs.logs import Part
from tunesmith_library_studio.topics import Message

_ENDED_TOLD = 200  # jobs that have ended which a newcomer is told of; all are in GET /api/jobs


Listed = list[Job]


class Jobs(Protocol):
    """What is looked at."""

    def list(self) -> Listed: ...
    def get(self, id: str) -> Job: ...
    def log(self, id: str, offset: int | None = None) -> Part: ...


class AllJobs:
    """First all jobs (`jobs`), then each that changed (`job`), and ids of those that are gone (`removed`)."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._known: dict[str, Job] = {}

    def first(self) -> list[Message]:
        jobs = self._jobs.list()
        self._known = self._known or {job.id: job for job in jobs}
        ended = [job for job in jobs if job.state in ENDED]
        told = [job for job in jobs if job.state not in ENDED] + ended[:_ENDED_TOLD]
        return [Message("jobs", "jobs", [job.told() for job in told])]

    def changes(self) -> list[Message]:
        now = {job.id: job for job in self._jobs.list()}
        found = [Message("jobs", "job", job.told()) for id, job in now.items() if self._known.get(id) != job]
        found += [Message("jobs", "removed", id) for id in self._known.keys() - now.keys()]
        self._known = now
        return found


class OneJob:
    """First a job (`job`) and the end of its log (`log`), then what changes of either."""

    def __init__(self, jobs: Jobs, id: str) -> None:
        self._jobs, self._topic = jobs, f"job:{id}"
        self._job = jobs.get(id)
        self._part = jobs.log(id)

    def first(self) -> list[Message]:
        log = self._jobs.log(self._job.id)
        return [Message(self._topic, "job", self._job.told()), Message(self._topic, "log", asdict(log))]

    def changes(self) -> list[Message]:
        found = []
        job, part = self._jobs.get(self._job.id), self._jobs.log(self._job.id, self._part.offset)
        if job != self._job:
            found.append(Message(self._topic, "job", job.told()))
        if part.text or part.unfinished != self._part.unfinished:
            found.append(Message(self._topic, "log", asdict(part)))
        self._job, self._part = job, part
        return found
