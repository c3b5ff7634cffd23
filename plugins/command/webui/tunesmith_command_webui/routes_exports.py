"""Exports: what one would need, making it, and those that are there."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request
from pydantic import BaseModel, Field
from tunesmith_library_studio import Studio
from tunesmith_library_studio.configuring.processes import Outdated
from tunesmith_library_studio.exports import Wanted

from .languages import translated


class Export(BaseModel):
    """What is exported, in which forms, to where."""

    source: str = Field(description="folder of a run, checkpoint, adapter or model; or a model's name or id")
    exporters: dict[str, dict[str, Any]] = Field(description='options by exporter: {"merged": {}}')
    overrides: dict[str, Any] = Field(default={}, description='further keys: {"quantizer": null}')
    output: str | None = Field(default=None, description="folder to write; one that is free by default")
    devices: list[str] = Field(default=[], description="GPUs of the job")
    client: str = Field(default="", description="who asks for a plan; what the same one asked before is dropped")

    def wanted(self) -> Wanted:
        """The wish itself."""
        return Wanted(self.source, self.exporters, self.overrides, self.output or None)


def router(studio: Studio) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["exports"])

    @routes.post("/exports/plan")
    def plan(export: Export, request: Request) -> dict[str, Any]:
        """What an export would need: `problems` (`key`, `message`, `advice`, `severity`), `memory`, `peak`, `disk`,
        `conclusion` as `tunesmith plan --for export --json` has them, `output` and `command`."""
        try:
            return translated(request, studio.exports.plan(export.wanted(), export.client))
        except Outdated as error:
            raise HTTPException(409, str(error)) from error

    @routes.post("/exports")
    def start(export: Export) -> dict[str, Any]:
        """Make an export; the answer is the job, as /api/jobs has it, whose `output` is the folder."""
        return studio.exports.start(export.wanted(), export.devices).told()

    @routes.get("/exports")
    def listed() -> dict[str, Any]:
        """The exports of the workspace, the newest first: `items` with `path`, `name`, `format`, `program`, `size`,
        `made`."""
        items = studio.exports.listed()
        return {"items": items, "total": len(items)}

    @routes.get("/exports/described")
    def described(path: Annotated[str, Query(description="the folder that was written")]) -> dict[str, Any]:
        """The artefacts in a folder: `items`, each with `path`, `format`, `program`, `files`, `size`, `made`, `proven`,
        `figures` and `checks` (what was compared), `answer`, `compared_on`, `next` (commands)."""
        items = studio.exports.described(path)
        return {"items": items, "total": len(items)}

    return routes
