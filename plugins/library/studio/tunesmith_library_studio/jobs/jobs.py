"""The jobs of a workspace: started, queued, stopped, resumed, removed; found again by whoever comes later."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith import TunesmithError
from tunesmith_library_configuration.folders import RECORD, is_run

from tunesmith_library_studio.jobs.calls import call
from tunesmith_library_studio.jobs.elsewhere import PREFIX, held, running
from tunesmith_library_studio.jobs.job import ACTIVE, ENDED, Job
from tunesmith_library_studio.jobs.logs import Part, read_part
from tunesmith_library_studio.jobs.queue import Queue
from tunesmith_library_studio.jobs.scheduling import Rules
from tunesmith_library_studio.jobs.starting import interrupt, interrupt_run, kill
from tunesmith_library_studio.jobs.store import Store
from tunesmith_library_studio.jobs.watching import AllJobs, OneJob
from tunesmith_library_studio.runs.facts import is_finished

if TYPE_CHECKING:
    from tunesmith_library_studio.devices import Devices
    from tunesmith_library_studio.topics import Watcher
    from tunesmith_library_studio.workspace import Workspace

Listed = list[Job]  # within the class its method is called so


class NoSuchJob(TunesmithError):
    """There is no job of an id."""


class Jobs:
    """Jobs live in the runs folder's `.studio/jobs`; the queue goes on while at least one of these is there."""

    def __init__(self, workspace: Workspace, devices: Devices) -> None:
        self._workspace = workspace
        self._store = Store(workspace.state / "jobs")
        self._queue = Queue(self._store, devices)
        self._resuming = threading.RLock()  # so that of two who ask at once the second one is told

    def close(self) -> None:
        """Look after the queue no more; jobs go on."""
        self._queue.close()

    # -- what is there ------------------------------------------------------------------------------------------------

    def list(self, tag: str | None = None, run: str | None = None) -> Listed:
        """All jobs, the newest first, and runs that train without being jobs.

        Args:
            tag: only those that have it.
            run: only those of a run.
        """
        jobs = self._store.all()[::-1]
        ours = {job.run for job in jobs if job.state in ACTIVE and job.run}
        jobs = [*running(self._workspace.runs, self._workspace.root, ours), *jobs]
        return [job for job in jobs if (tag is None or job.tag == tag) and (run is None or job.run == run)]

    def get(self, id: str) -> Job:
        """One job.

        Raises: NoSuchJob.
        """
        if id.startswith(PREFIX):
            name = id.removeprefix(PREFIX)
            found = held(self._workspace.runs, self._workspace.root, name)
        else:
            found = self._store.get(id)
        if found is None:
            raise NoSuchJob(f"there is no job {id}.\n  it may have been removed; GET /api/jobs lists those there are")
        return found

    def of_run(self, run: str) -> Job | None:
        """The newest job that trains, or trained, a run; None where it was started otherwise and has ended."""
        active = [job for job in self.list(run=run) if job.kind == "train"]
        return next((job for job in active if job.state in ACTIVE), active[0] if active else None)

    def log(self, id: str, offset: int | None = None) -> Part:
        """A part of what a job said, from a place on; the last part without one.

        Raises: NoSuchJob.
        """
        return read_part(self.get(id).log, offset)

    @property
    def rules(self) -> Rules:
        """How many jobs of the processor run at a time, and whether the queue is paused."""
        return self._store.rules

    def rule(self, **changes: Any) -> Rules:
        """Change some rules of the queue, by the names of `Rules`."""
        with self._store.changing():
            self._store.rules = replace(self._store.rules, **changes)
        self._queue.wake()
        return self._store.rules

    # -- what is done -------------------------------------------------------------------------------------------------

    def start(
        self,
        kind: str,
        command: Sequence[str],
        *,
        title: str,
        run: str | None = None,
        devices: Sequence[str] = (),
        output: Path | None = None,
        env: Mapping[str, str] | None = None,
        queued: bool = True,
        tag: str = "",
        after: Sequence[str] = (),
    ) -> Job:
        """Have a command run as a process of its own, in the workspace's root.

        Args:
            kind: what it is, for people and filters: train, export, eval, data …
            command: the arguments after `tunesmith`.
            run: the run that it makes or is about, by its name in the runs folder.
            devices: numbers of GPUs, `any` for one that is free, `cpu` for a turn of the processor, `none` where it
                needs neither; without any, `any`.
            output: the file or folder that it writes.
            env: further variables of its environment; they are kept in a file, so no secrets.
            queued: whether it waits until its devices are free; else it starts at once.
            tag: what it has in common with others.
            after: ids of jobs that must be done before.

        Raises: TunesmithError where it cannot be kept, or not be started at once.
        """
        job = Job(id="", kind=kind, command=[*map(str, command)], title=title, run=run, root=self._workspace.root,
                  wanted=list(devices), queued=queued, env=dict(env or {}), output=output, tag=tag, after=list(after),
                  created=time.time(), place=time.time())  # fmt: skip
        return self._added([job])[0]

    def stop(self, id: str) -> Job:
        """Have a job end: one that waits is taken out of the queue; a run saves where it is, and can be resumed; the
        second time it is killed.

        Raises: NoSuchJob; TunesmithError where its process is out of reach.
        """
        job = self.get(id)
        if job.elsewhere and job.owner:
            interrupt_run(job.owner, job.title)
            return replace(job, state="stopping")
        with self._store.changing():
            job = self.get(id)
            if job.state == "queued":
                self._store.keep(replace(job, ended=time.time(), why="", reason={}))
            elif job.state in ACTIVE:
                if job.owner is None:
                    raise TunesmithError(f"{job.title} is just being started; stop it in a moment")
                act = interrupt if job.state == "running" else kill
                act(job.owner, job.title)
                self._store.ask_to_stop(job)
        self._queue.wake()
        return self.get(id)

    def resume(self, id: str) -> Job:
        """Have the run of a job that ended go on where it was; a job that is no run, or never saved, is begun again.

        Raises: NoSuchJob; TunesmithError while it runs or waits.
        """
        with self._resuming:
            job = self.get(id)
            if job.state not in ENDED:
                raise TunesmithError(f"{job.title} has not ended: it is {job.state}")
            if job.kind == "train" and job.run and is_run(self._workspace.runs / job.run):
                return self.resume_run(job.run, devices=job.wanted, env=job.env, tag=job.tag)
            again = replace(job, id="", devices=[], created=time.time(), place=time.time(), started=None, ended=None,
                            code=None, why="", reason={}, state="queued", owner=None)  # fmt: skip
            return self._added([again])[0]

    def resume_run(self, run: str, **how: Any) -> Job:
        """Have a run go on from its newest checkpoint, however it was started.

        Args:
            how: further arguments of `start`.

        Raises: TunesmithError where there is no such run, or it is at work, or has trained to its end.
        """
        folder = self._workspace.path(self._workspace.runs / run)
        if not is_run(folder):
            raise TunesmithError(f"{run}: there is no run of this name to resume")
        shown = self._workspace.shown(folder)
        command = ["train", f"{shown}/{RECORD}", "resume=true", f"output_dir={shown}"]
        with self._resuming:
            if any(job.state not in ENDED for job in self.list(run=run) if job.kind == "train"):
                raise TunesmithError(f"{run} is at work, or waits for it, already")
            if is_finished(folder):
                raise TunesmithError(
                    f"{run} has trained to its end, there is nothing to go on with.\n"
                    "to train on: repeat it with changes, with more epochs or with its result as the model"
                )
            return self.start("train", command, title=run, run=run, output=folder, **how)

    def move(self, id: str, before: str | None = None) -> Job:
        """Give a job that waits another place in the queue: before another one, or the last.

        Raises: NoSuchJob; TunesmithError where it waits no more.
        """
        with self._store.changing():
            job = self.get(id)
            if job.state != "queued":
                raise TunesmithError(f"{job.title} waits no more: it is {job.state}")
            waiting = sorted(
                (each for each in self._store.all() if each.state == "queued"), key=lambda each: each.place
            )
            places = [each.place for each in waiting if each.id != id]
            if before is None:
                place = max([*places, time.time()]) + 1e-3
            else:
                at = self.get(before).place
                place = (at + max((place for place in places if place < at), default=at - 1.0)) / 2
            self._store.keep(replace(job, place=place))
        self._queue.wake()
        return self.get(id)

    def run_renamed(self, run: str, to: str) -> None:
        """Have the jobs of a run that got another name know it."""
        with self._store.changing():
            self._store.rename_run(run, to)

    def remove(self, id: str) -> None:
        """Forget a job that has ended or waits, and its log; what it made stays.

        Raises: NoSuchJob; TunesmithError while it runs.
        """
        with self._store.changing():
            job = self.get(id)
            if job.state in ACTIVE:
                raise TunesmithError(f"{job.title} runs; stop it first")
            self._store.remove(id)

    def clear(self) -> int:
        """Forget all jobs that have ended; the count of them. Runs and results stay."""
        with self._store.changing():
            ended = [job for job in self._store.all() if job.state in ENDED]
            for job in ended:
                self._store.remove(job.id)
        return len(ended)

    def call(self, command: Sequence[str], timeout: float = 60.0) -> str:
        """What a short command prints, for a page that waits for it; see `calls.call`."""
        return call(command, self._workspace.root, timeout)

    def watcher(self, id: str = "") -> Watcher:
        """What tells of all jobs, or of one and its log, as they change.

        Raises: NoSuchJob.
        """
        return OneJob(self, id) if id else AllJobs(self)

    def _added(self, jobs: Sequence[Job]) -> Listed:
        made = [self._store.add(job) for job in jobs]
        self._queue.advance(only={job.id for job in made if not job.queued})
        for job in made:
            now = self.get(job.id)
            if not job.queued and now.state == "failed" and now.started is None:
                self._store.remove(job.id)
                raise TunesmithError(f"{job.title}: {now.why}")
        self._queue.wake()
        return [self.get(job.id) for job in made]
