"""Drafts of configurations: read, examined, planned, and started."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, Field
from tunesmith_library_studio import Studio
from tunesmith_library_studio.configuring import Given
from tunesmith_library_studio.configuring.processes import Outdated
from tunesmith_library_studio.configuring.starting import Start, start
from tunesmith_library_studio.configuring.sweeps import Axis, variants

from .languages import translated


class Draft(BaseModel):
    """A configuration as it is handed in: one of values, text, source, run and command, and overrides over it."""

    values: dict[str, Any] | None = Field(None, description="nested, as YAML has it; only what is not the default")
    text: str | None = Field(None, description="YAML, of ours or of another program whose dialect is installed")
    source: str | None = Field(None, description="a recipe, a YAML file of the workspace, or the folder of a run")
    run: str | None = Field(None, description="a run by its name, which is to be done again")
    command: str | None = Field(None, description="a command line: tunesmith train conf/sft_lora.yaml adapter.rank=8")
    overrides: list[str] = Field([], description="key=value, as on the command line")
    client: str = Field("", description="who asks: what the same one asked before, and still waits, is dropped (409)")

    def given(self, studio: Studio) -> Given:
        """As the working layer has it; nothing handed in is an empty configuration."""
        source = self.source if self.run is None else str(studio.workspace.runs / self.run)
        nothing = self.values is None and self.text is None and source is None and self.command is None
        return Given({} if nothing else self.values, self.text, source, self.overrides, self.command)


class Planned(Draft):
    """A draft, and what is asked of its plan."""

    machine: str = Field("", description="device that it would run on: rtx4090, h100x8, 24gb; empty for this machine")
    advice: bool = Field(False, description="look for changes that make it fit, which takes seconds")


class Started(Draft):
    """A draft that is to be run."""

    name: str = Field("", description="of the run: a folder in the runs folder; empty for one that is free")
    devices: list[str] = Field([], description="numbers of GPUs, any, cpu; empty for any")
    queued: bool = Field(True, description="wait until its devices are free; false starts it at once")
    tags: list[str] = Field([], description="labels of the run, such as that of its sweep")


class SweepAxis(BaseModel):
    """An option and the values that it is to have."""

    key: str = Field(description="adapter.rank")
    values: list[Any]


class Sweep(BaseModel):
    """What the runs of a sweep differ in."""

    axes: list[SweepAxis]
    grid: bool = Field(True, description="every value with every other; false: the first of all, then the second")


def router(studio: Studio) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["configurations"])

    @routes.post("/compose")
    def compose(draft: Draft, request: Request) -> dict[str, Any]:
        """Read and examine a draft; nothing is loaded, and nothing is kept.

        `{"values", "yaml", "command", "for", "problems": [{"key", "message", "advice", "severity", "line", "fixes":
        [[override]]}], "origins": {key: line}, "notices", "comments", "own", "unconfirmed"}`. `values` is null where
        the text cannot be read. `own` are plugins in files that the draft names, as in GET /api/schema, with `kind` and
        `file`. `unconfirmed`, each with `kind`, `name`, `file` and `value`, are those that only a run's record names:
        they are not imported, and not among the values; they are when they stand in a draft's values.
        """
        return translated(request, _newest(lambda: studio.configuring.answer(draft.given(studio), draft.client)))

    @routes.post("/plan")
    def plan(draft: Planned) -> dict[str, Any]:
        """What the run of a draft needs: as `tunesmith plan --json`, or `{"wrong": true}` where it has errors.

        `{"machine", "memory": {phase: {part: bytes}}, "peak": {"phase", "bytes"}, "room", "fits", "conclusion",
        "changes": [{"overrides", "cost", "costs", "peak"}], "time": {…seconds}, "data", "disk", "shares", "unknown"}`.
        """
        given = draft.given(studio)
        ask = studio.configuring.figures
        return _newest(lambda: ask(given, machine=draft.machine, advice=draft.advice, client=draft.client))

    @routes.post("/train", status_code=201)
    def train(draft: Started) -> dict[str, Any]:
        """Train a draft as a job, which goes on when the server ends: `{"run": name, "job": job}`.

        What is wrong with it is answered as an error, and nothing is started then.
        """
        how = Start(draft.name, draft.devices, draft.queued, draft.tags)
        job = start(studio, draft.given(studio), how)
        return {"run": job.run, "job": job.told()}

    @routes.post("/sweep")
    def sweep(wanted: Sweep) -> dict[str, Any]:
        """The overrides of each run of a sweep: `{"items": [[override]], "total": n}`."""
        rows = variants([Axis(axis.key, axis.values) for axis in wanted.axes], wanted.grid)
        return {"items": rows, "total": len(rows)}

    @routes.get("/recipes")
    def recipes() -> dict[str, Any]:
        """Configurations to begin with: `{"items": [{"name", "title"}], "total": n}`; `name` is a draft's source."""
        found = studio.configuring.recipes()
        return {"items": found, "total": len(found)}

    return routes


def _newest(asked: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What was asked for.

    Raises: HTTPException 409 where the same client asked for something newer.
    """
    try:
        return asked()
    except Outdated as error:
        raise HTTPException(409, str(error)) from error
