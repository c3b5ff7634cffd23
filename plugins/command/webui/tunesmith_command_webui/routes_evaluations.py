"""Evaluations: started, listed, read example by example, compared; and the answers to whole data sets."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field
from tunesmith_library_studio import Studio

from .languages import translated

Kind = Literal["eval"] | Literal["predict"]
Search = Annotated[str, Query(description="words that all must be in the record")]


class Asked(BaseModel):
    """What is measured, by what, on what."""

    model: str = Field(description="a run's name, a folder of the workspace, or a model's address")
    evaluators: dict[str, dict[str, Any]] = Field({}, description="options by the evaluator's name")
    data: list[str | dict[str, Any]] = Field([], description="data.eval; empty: what the run held out")
    engine: dict[str, Any] = Field({}, description="name and options of the engine; empty: this machine's transformers")
    overrides: list[str] = Field([], description="further KEY=VALUE")
    before: bool = Field(False, description="measure also the model that the run was trained from")
    output: str | None = Field(None, description="folder of the results; by default the run's own")
    devices: list[str] = Field([], description="where it runs, as POST /api/jobs has them")
    kind: Kind = Field("eval", description="eval: numbers; predict: a file of answers")


class Pair(BaseModel):
    """Two results."""

    first: str = Field(description="a run's name, or a folder with results")
    second: str
    evaluator: str | None = Field(None, description="all that both have without it")
    examples: int = Field(5, ge=0, le=100, description="of what got better and of what got worse, for each metric")


def router(studio: Studio) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["evaluations"])
    _add_results(routes, studio)
    _add_starts(routes, studio)
    _add_predictions(routes, studio)
    return routes


def _add_results(routes: APIRouter, studio: Studio) -> None:
    @routes.get("/evaluations")
    def evaluations(
        of: Annotated[str | None, Query(description="of this run alone")] = None,
        steps: Annotated[bool, Query(description="also those during trainings")] = False,
    ) -> dict[str, Any]:
        """Results, the newest first: `of`, `run`, `folder`, `evaluator`, `step`, `metrics` (data set → metric → value,
        standard_error, count, greater_is_better), `before`, `settings`, `model`, `tables`, `modified`."""
        found = studio.evaluations.all(of, steps)
        return {"items": found, "total": len(found)}

    @routes.get("/evaluations/records")
    def records(
        folder: Annotated[str, Query(description="of a result, as GET /api/evaluations has it")],
        search: Search = "",
        metric: Annotated[str | None, Query(description="a number of the records")] = None,
        outcome: Annotated[Literal["right", "wrong"] | None, Query(description="1, or less, by that number")] = None,
        sort: Annotated[Literal["ascending", "descending"] | None, Query(description="by that number")] = None,
        before: Annotated[bool, Query(description="those of the model before its training")] = False,
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=500)] = 20,
    ) -> dict[str, Any]:
        """Records of a result's examples: `items`, `total`, `metrics` (the numbers that they have) and `judged` (those
        that are 0 or 1 in all of them, by which a record is right or wrong)."""
        from tunesmith_library_studio.evaluations import Filter

        asked = Filter(search, metric, outcome, sort, offset, limit)
        return studio.evaluations.records(folder, asked, before=before)

    @routes.post("/evaluations/compare")
    def compare(pair: Pair) -> dict[str, Any]:
        """Two results, example by example: `items` as `tunesmith eval compare --json` has them, with the 95 %
        interval and the p-value of each difference."""
        found = studio.evaluations.compare(pair.first, pair.second, pair.evaluator, pair.examples)
        return {"items": found, "total": len(found)}


def _add_starts(routes: APIRouter, studio: Studio) -> None:
    @routes.post("/evaluations/plan")
    def plan(asked: Asked, request: Request) -> dict[str, Any]:
        """What an evaluation needs, and everything that is wrong with it: as `tunesmith plan --json`, with `command`
        and `output`, the folder of its results."""
        return translated(request, studio.evaluations.plan(_request(asked), asked.kind))

    @routes.post("/evaluations")
    def start(asked: Asked) -> dict[str, Any]:
        """Start an evaluation, or the answers to data sets, as a job; gives the job."""
        told: dict[str, Any] = studio.evaluations.start(_request(asked), asked.kind, asked.devices).told()
        return told


def _add_predictions(routes: APIRouter, studio: Studio) -> None:
    @routes.get("/predictions")
    def predictions() -> dict[str, Any]:
        """Files of answers, the newest first: `of`, `run`, `path`, `size`, `modified`."""
        found = studio.evaluations.predictions()
        return {"items": found, "total": len(found)}

    @routes.get("/predictions/records")
    def answers(
        path: str,
        search: Search = "",
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=500)] = 20,
    ) -> dict[str, Any]:
        """Answers of a file: `items` with dataset, prompt, answer (the expected one) and prediction."""
        from tunesmith_library_studio.evaluations import Filter

        return studio.evaluations.answers(path, Filter(search, offset=offset, limit=limit))

    @routes.get("/predictions/download")
    def download(path: str) -> FileResponse:
        """A file of answers, as it is."""
        file = studio.evaluations.file(path)
        return FileResponse(file, filename=file.name, headers={"X-Content-Type-Options": "nosniff"})


def _request(asked: Asked) -> Any:
    from tunesmith_library_studio.evaluations import Request

    given = asked.model_dump(exclude={"devices", "kind"})
    return Request(**given)
