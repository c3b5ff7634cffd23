"""Runs: what there is, what each is, side by side, noted about, renamed, deleted and brought back."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Response
from fastapi.responses import FileResponse, PlainTextResponse
from pydantic import BaseModel, Field
from tunesmith_library_studio import Studio

Columns = Annotated[list[str] | None, Query(description="further columns: trainer.learning_rate, metrics.grad_norm")]
Name = Annotated[str, Query(description="the run's name, relative to the runs folder")]


class Noted(BaseModel):
    """What changes of a run; what is left out stays."""

    name: str | None = Field(None, description="its new name")
    tags: list[str] | None = Field(None, description="all its tags")
    notes: str | None = Field(None, description="its notes, as Markdown")


class Compared(BaseModel):
    """Runs to compare."""

    names: list[str] = Field(description="two or more")


class Restored(BaseModel):
    """A run to bring back."""

    id: str = Field(description="as GET /api/trash has it")
    name: str | None = Field(None, description="another name than the one that it had")


def router(studio: Studio) -> APIRouter:
    """The routes. Those of one run come last: their path takes whatever no other route took."""
    routes = APIRouter(tags=["runs"])
    _add_trash(routes, studio)
    _add_table(routes, studio)
    _add_files(routes, studio)
    _add_one(routes, studio)
    return routes


def _add_table(routes: APIRouter, studio: Studio) -> None:
    @routes.get("/runs")
    def runs(  # one parameter for each that a client may give
        search: Annotated[str, Query(description="words that all must be in name, model, data, tags or notes")] = "",
        state: Annotated[str | None, Query(description="running, stopping, done, stopped, failed, incomplete")] = None,
        stage: str | None = None,
        model: str | None = None,
        tag: str | None = None,
        sort: Annotated[str, Query(description="a field of a row, or a further column")] = "started",
        descending: bool = True,
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=5000)] = 100,
        column: Columns = None,
    ) -> dict[str, Any]:
        """A page of the table: `items`, `total`, and `values`, what each filter can choose.

        A row: name, state, resumable, foreign (another program's), problem, stage, model, adapter, quantizer, data,
        started, modified (seconds since 1970), seconds, step, total_steps, epoch, loss, metric, greater_is_better,
        value (of the last evaluation), best, best_step, checkpoints, result (model, adapter), evaluations, size in
        bytes, tags, notes, job, and `values` of further columns.
        """
        from tunesmith_library_studio.runs import Asked

        filters = {"state": state, "stage": stage, "model": model, "tag": tag}
        page = {
            "sort": sort,
            "descending": descending,
            "offset": offset,
            "limit": limit,
            "columns": tuple(column or ()),
        }
        return studio.runs.page(Asked(search=search, **filters, **page))  # type: ignore[arg-type]

    @routes.get("/run-columns")
    def columns() -> dict[str, Any]:
        """Keys that further columns may show: `items`."""
        found = studio.runs.columns()
        return {"items": found, "total": len(found)}

    @routes.post("/runs/compare")
    def compare(asked: Compared) -> dict[str, Any]:
        """Runs side by side: `runs` with `figures`, `differences` of configurations, `evaluations` with errors."""
        return studio.runs.compare(asked.names, studio.evaluations.numbers)

    @routes.get("/run-comparison", response_class=PlainTextResponse)
    def comparison(
        run: Annotated[list[str], Query(description="two or more")], format: Literal["markdown", "csv"] = "markdown"
    ) -> Response:
        """The same as a table, to be kept."""
        from tunesmith_library_studio.runs import comparing

        table = comparing.as_table(studio.runs.compare(run, studio.evaluations.numbers))
        if format == "csv":
            named = {"Content-Disposition": 'attachment; filename="comparison.csv"'}
            return PlainTextResponse(comparing.as_csv(table), media_type="text/csv", headers=named)
        return PlainTextResponse(comparing.as_markdown(table), media_type="text/markdown")


def _add_files(routes: APIRouter, studio: Studio) -> None:
    @routes.get("/run-files")
    def text(run: Name, path: str) -> dict[str, Any]:
        """The text of a run's file: `text`, and `left_out`, bytes in the middle of a long one."""
        from tunesmith_library_studio.runs.files import text_of

        return text_of(studio.runs.file(run, path))

    @routes.get("/run-files/download")
    def download(run: Name, path: str) -> FileResponse:
        """A run's file, as it is."""
        file = studio.runs.file(run, path)
        return FileResponse(file, filename=file.name, headers={"X-Content-Type-Options": "nosniff"})

    @routes.get("/run-files/picture")
    def picture(run: Name, path: str) -> Response:
        """A run's picture, to be shown: PNG or JPEG."""
        from tunesmith_library_studio.runs.files import kind_of

        file = studio.runs.file(run, path)
        if kind_of(file.name) != "picture":
            return Response(status_code=415)
        return FileResponse(file, headers={"X-Content-Type-Options": "nosniff"})

    @routes.get("/run-changes")
    def changes(run: Name) -> dict[str, Any]:
        """What of a run's configuration is not the default: `values`, `yaml`, `command`, `problems` of repeating it."""
        from tunesmith_library_studio.configuring.configurations import Given

        return studio.configuring.answer(Given(source=str(studio.runs.folder(run))))


def _add_trash(routes: APIRouter, studio: Studio) -> None:
    @routes.get("/trash")
    def trash() -> dict[str, Any]:
        """Deleted runs, the newest first: `id`, `name`, `deleted`, `size`."""
        found = studio.runs.trash.all()
        return {"items": found, "total": len(found)}

    @routes.post("/trash/restore")
    def restore(asked: Restored) -> dict[str, Any]:
        """Bring a run back; gives its row."""
        return studio.runs.restore(asked.id, asked.name)

    @routes.delete("/trash")
    def empty(id: Annotated[str | None, Query(description="one run; all without it")] = None) -> dict[str, int]:
        """Delete for good: `freed` bytes."""
        return {"freed": studio.runs.trash.empty(id)}


def _add_one(routes: APIRouter, studio: Studio) -> None:
    @routes.get("/runs/{name:path}")
    def run(name: str) -> dict[str, Any]:
        """A run's row, and beside it: path, configuration, yaml, lock, card, checkpoint_list, exports, record (what was
        predicted and measured), last and evaluation (what was logged last), files.
        """
        return studio.runs.get(name)

    @routes.patch("/runs/{name:path}")
    def note(name: str, change: Noted) -> dict[str, Any]:
        """Set tags and notes, or the name; gives the row."""
        if change.name is not None and change.name != name:
            studio.runs.rename(name, change.name)
            studio.jobs.run_renamed(name, change.name)
            name = change.name
        if change.tags is not None or change.notes is not None:
            return studio.runs.note(name, change.tags, change.notes)
        return studio.runs.row(name)

    @routes.delete("/runs/{name:path}")
    def delete(
        name: str, anyway: Annotated[bool, Query(description="also one that other runs name")] = False
    ) -> dict[str, str]:
        """Move a run to the trash: `id`. Refused while it is at work, and, with 409, while other runs name it."""
        from tunesmith_library_studio.runs import NamedByOthers

        try:
            return {"id": studio.runs.delete(name, anyway=anyway)}
        except NamedByOthers as error:
            raise HTTPException(409, str(error)) from error
