"""What happens in a run: its curves, state, log, warnings, samples. What changes is told by the topic `run:NAME`."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from tunesmith_library_studio import Studio
from tunesmith_library_studio.watching.places import Axis

from .languages import translated

Run = Annotated[str, Query(description="name of the run: its path in the folder of runs")]
Names = Annotated[str, Query(description="logged names, separated by commas; empty: those that have a panel")]


def router(studio: Studio) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/watch", tags=["watch"])
    _add_curves(routes, studio)

    @routes.get("/state")
    def state(run: Run, request: Request) -> dict[str, Any]:
        """What a run is and does: `state`, `progress`, `warnings`, as the topic `run:NAME` tells them."""
        return translated(request, studio.watching.state(run))

    @routes.get("/log")
    def log(
        run: Run,
        end: Annotated[int | None, Query(ge=0, description="bytes; lines before it are given; none: the end")] = None,
        search: Annotated[str, Query(description="give the last lines that have this text")] = "",
        only: Annotated[str, Query(pattern="^(warning)?$", description="warning: only warnings and errors")] = "",
    ) -> dict[str, Any]:
        """Lines of a run's output: `lines` (`at`, `text`, `level`), `start`, `end`, `size`; of a search `found`."""
        return studio.watching.log(run, end, search, only)

    @routes.get("/log/file")
    def log_file(run: Run) -> FileResponse:
        """The whole log."""
        path = studio.watching.log_path(run)
        return FileResponse(path, media_type="text/plain; charset=utf-8", filename=f"{run.replace('/', '-')}.log")

    @routes.get("/samples")
    def samples(
        run: Run,
        evaluator: Annotated[str, Query(description="of those in the state's `evaluators`")],
        steps: Annotated[str, Query(pattern=r"^[\d,]*$", description="10,20,30; empty: the first and the last")] = "",
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=100)] = 10,
    ) -> dict[str, Any]:
        """What the model answered at evaluations during its training: `steps`, `total`, `items`, of each of which
        `by_step` has what the evaluator recorded: `prediction`, and its numbers."""
        chosen = tuple(int(step) for step in steps.split(",") if step)
        return studio.watching.samples(run, evaluator, chosen, offset, limit)

    return routes


def _add_curves(routes: APIRouter, studio: Studio) -> None:
    @routes.get("/curves", response_model=dict[str, Any])
    def curves(
        run: Run,
        points: Annotated[int, Query(ge=4, le=20000, description="of a curve, at most")] = 1000,
        smoothing: Annotated[float, Query(ge=0, lt=1, description="share of the past, as in TensorBoard")] = 0.0,
        axis: Annotated[Axis, Query(description="what the curves are over")] = "step",
        start: Annotated[float | None, Query(description="of the part that is looked at, on the axis")] = None,
        end: Annotated[float | None, Query(description="of that part")] = None,
        metrics: Names = "",
        more: Annotated[str, Query(description="further ones beside those that have a panel")] = "",
    ) -> Response:
        """The curves of a run, each thinned to so many points that has the lowest and the highest value of every
        stretch: `curves` by name (`step`, `x`, `y`, `smooth`, `count`, `min`, `max`, `last`), `metrics` (what names
        mean, and which are shown), `axes`, `step`, `total_steps`, `rows`, `generation`."""
        from msgspec import json
        from tunesmith_library_studio.watching.curves import View

        found = studio.curves.of(run, View(points, smoothing, axis, start, end, _names(metrics), _names(more)))
        return Response(json.encode(found), media_type="application/json")

    @routes.get("/curves.csv")
    def table(run: Run, metrics: Names = "") -> Response:
        """Every logged value of the metrics: a line for each step that has one."""
        text = studio.curves.table(run, _names(metrics))
        name = quote(run.replace("/", "-"))
        headers = {"Content-Disposition": f"attachment; filename*=utf-8''{name}.csv"}
        return Response(text, media_type="text/csv; charset=utf-8", headers=headers)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)
