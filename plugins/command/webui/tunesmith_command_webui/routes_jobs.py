"""Jobs and the devices that they compute on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, Field
from tunesmith_library_studio import Studio
from tunesmith_library_studio.jobs.job import State

_LISTED = 200
T = TypeVar("T")


class Wanted(BaseModel):
    """A job to start. Paths in its words lead into the workspace."""

    command: list[str] = Field(description="the arguments after `tunesmith`: train, export, eval, predict, data …")
    title: str = Field(default="", description="for people; the command by default")
    run: str | None = Field(default=None, description="the run that it makes or is about, by its name")
    devices: list[str] = Field(default=[], description="numbers of GPUs, any, cpu, none; any by default")
    queued: bool = Field(default=True, description="whether it waits until they are free")
    tag: str = Field(default="", description="what it has in common with others")
    after: list[str] = Field(default=[], description="ids of jobs that must be done before")


class Resumed(BaseModel):
    """A run that is to go on."""

    run: str = Field(description="its name in the runs folder")
    devices: list[str] = Field(default=[], description="as of a job to start")
    queued: bool = Field(default=True, description="whether it waits until they are free")


class Moved(BaseModel):
    """A place in the queue."""

    before: str | None = Field(default=None, description="the id of the job that comes next; none for the last place")


class RulesChanged(BaseModel):
    """Rules of the queue; what is left out stays."""

    cpu_jobs: int | None = Field(default=None, ge=1, le=64, description="jobs of the processor at a time")
    paused: bool | None = Field(default=None, description="whether nothing that waits is started")


def router(studio: Studio) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["jobs"])
    _of_all(routes, studio)
    _of_one(routes, studio)
    return routes


def _of_all(routes: APIRouter, studio: Studio) -> None:
    @routes.get("/jobs")
    def listed(
        state: Annotated[State | None, Query(description="only those of a state")] = None,
        run: Annotated[str | None, Query(description="only those of a run")] = None,
        tag: Annotated[str | None, Query(description="only those of a tag")] = None,
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = _LISTED,
    ) -> dict[str, Any]:
        """All jobs, the newest first, and runs that train without being jobs (`elsewhere`).

        `items` each with id, kind, title, command, run, state (queued, running, stopping, done, failed, stopped),
        why (in English; `reason` has it as a `code` with values), devices, wanted, created, started, ended, code, tag,
        after, output, log, resumable; `total`; `rules` of the queue.
        """
        jobs = [job for job in studio.jobs.list(tag, run) if state is None or job.state == state]
        items = [job.told() for job in jobs[offset : offset + limit]]
        return {"items": items, "total": len(jobs), "rules": asdict(studio.jobs.rules)}

    @routes.post("/jobs", status_code=201)
    def start(wanted: Wanted) -> dict[str, Any]:
        """Start one of the program's long commands as a process of its own; it outlives the server. The job."""
        from tunesmith_library_studio.jobs import refuse_outside
        from tunesmith_library_studio.runs.folders import folder_of

        refuse_outside(wanted.command, studio.workspace)
        if wanted.run is not None:
            folder_of(studio.workspace, wanted.run)
        given = wanted.model_dump(exclude={"title", "command"})
        title = wanted.title or " ".join(wanted.command[:3])
        return studio.jobs.start(wanted.command[0], wanted.command, title=title, **given).told()

    @routes.post("/jobs/resume", status_code=201)
    def resume_run(resumed: Resumed) -> dict[str, Any]:
        """Have a run go on from its newest checkpoint, however it was started. The job."""
        return studio.jobs.resume_run(resumed.run, devices=resumed.devices, queued=resumed.queued).told()

    @routes.post("/jobs/clear")
    def clear() -> dict[str, int]:
        """Forget all jobs that have ended, and their logs; runs and results stay. `removed`: how many."""
        return {"removed": studio.jobs.clear()}

    @routes.patch("/jobs/rules")
    def rule(changed: RulesChanged) -> dict[str, Any]:
        """Change the rules of the queue; they are answered."""
        return asdict(studio.jobs.rule(**changed.model_dump(exclude_none=True)))

    @routes.get("/devices")
    def devices() -> dict[str, Any]:
        """GPUs and the processor: `items` with id, kind, name, memory and used (bytes), utilisation (0 to 1),
        temperature (°C), power (W), and `jobs`, the ids of those that have it."""
        active = [job for job in studio.jobs.list() if job.state in ("running", "stopping")]
        found = []
        for device in studio.devices.now():
            having = [job.id for job in active if device.id in job.devices]
            found.append(device.told() | {"jobs": having})
        return {"items": found, "total": len(found)}


def _of_one(routes: APIRouter, studio: Studio) -> None:
    @routes.get("/jobs/{id:path}/log")
    def log(
        id: str, offset: Annotated[int | None, Query(ge=0, description="in bytes; none for the end of the log")] = None
    ) -> dict[str, Any]:
        """A part of what a job said: `text` (whole lines), `unfinished` (a line that still changes), `start`,
        `offset` (where the next part begins), `size`."""
        return asdict(_found(studio.jobs.log, id, offset))

    @routes.post("/jobs/{id:path}/stop")
    def stop(id: str) -> dict[str, Any]:
        """Have a job end: a run saves first and can be resumed; the second time it is killed. The job."""
        return _found(studio.jobs.stop, id).told()

    @routes.post("/jobs/{id:path}/resume", status_code=201)
    def resume(id: str) -> dict[str, Any]:
        """Have the run of an ended job go on, or begin a job again that is none. The new job."""
        return _found(studio.jobs.resume, id).told()

    @routes.post("/jobs/{id:path}/move")
    def move(id: str, moved: Moved) -> dict[str, Any]:
        """Give a job that waits another place in the queue. The job."""
        return _found(studio.jobs.move, id, moved.before).told()

    @routes.get("/jobs/{id:path}")
    def one(id: str) -> dict[str, Any]:
        """One job."""
        return _found(studio.jobs.get, id).told()

    @routes.delete("/jobs/{id:path}", status_code=204)
    def remove(id: str) -> None:
        """Forget a job that has ended or waits, and its log; what it made stays."""
        _found(studio.jobs.remove, id)


def _found(what: Callable[..., T], *arguments: Any) -> T:
    """Do something with a job. Raises: HTTPException 404 where there is none of this id."""
    from tunesmith_library_studio.jobs import NoSuchJob

    try:
        return what(*arguments)
    except NoSuchJob as error:
        raise HTTPException(404, str(error)) from error
