"""Tools that change nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field
from tunesmith import TunesmithError
from tunesmith_library_studio import Studio

Config = Annotated[str | None, Field(description="a whole configuration as YAML text")]
Source = Annotated[str | None, Field(description="instead of it: a recipe's name, a YAML file, or a run's folder")]
Overrides = Annotated[Sequence[str], Field(description='over it, such as ["adapter.rank=16", "trainer.max_steps=100"]')]
Run = Annotated[str, Field(description="a run's name: its path relative to the folder of runs")]
_TOLD = 4000  # characters of a log

Tool = Callable[..., Any]


def tools(studio: Studio) -> list[Tool]:
    """All of them."""
    return [*_of_configurations(studio), *_of_runs(studio), *_of_jobs(studio), *_of_data(studio)]


def _of_configurations(studio: Studio) -> list[Tool]:
    def plan(
        config: Config = None,
        source: Source = None,
        overrides: Overrides = (),
        machine: Annotated[
            str, Field(description="hardware by name, such as rtx4090 or h100x8; this machine else")
        ] = "",
    ) -> dict[str, Any]:
        """Check a configuration and estimate memory, time and disk, without loading anything: `problems` (with advice),
        `fits`, and the figures. Do this before train."""
        from tunesmith_library_studio.configuring import Given

        given = Given(text=config, source=source, overrides=overrides)
        answer = studio.configuring.answer(given)
        found = {"problems": answer["problems"], "command": answer["command"]}
        if any(problem["severity"] == "error" for problem in answer["problems"]):
            return found
        return found | {"figures": studio.configuring.figures(given, machine=machine)}

    def recipes() -> dict[str, Any]:
        """The configurations to begin with: `name` and `title` of each."""
        return _listed(studio.configuring.recipes())

    def show_recipe(name: Annotated[str, Field(description="as recipes names it, or a run's folder")]) -> str:
        """A recipe, or the configuration of a run, as YAML."""
        from tunesmith_library_studio.configuring import Given

        return str(studio.configuring.answer(Given(source=name))["yaml"])

    def plugins(
        kind: Annotated[str, Field(description="such as adapter, stage, quantizer, optimizer; all else")] = "",
    ) -> dict[str, Any]:
        """The installed plugins: kind, name, summary."""
        found = studio.installed.listed()["items"]
        short = [{key: item.get(key) for key in ("kind", "name", "summary")} for item in found]
        return _listed([item for item in short if kind in ("", item["kind"])])

    def plugin_options(kind: str, name: str) -> dict[str, Any]:
        """A plugin's options: name, type, default, range and help of each; written as KIND.OPTION=VALUE."""
        return {key: value for key, value in studio.installed.shown(kind, name).items() if key != "readme"}

    def models(search: str = "", limit: Annotated[int, Field(ge=1, le=200)] = 30) -> dict[str, Any]:
        """Models that can be trained or talked to: known by name, folders here, runs, checkpoints, exports. `address`
        is what model.path and other tools take."""
        return studio.models.listed(search, limit=limit)

    return [plan, recipes, show_recipe, plugins, plugin_options, models]


def _of_runs(studio: Studio) -> list[Tool]:
    def runs(
        search: str = "",
        state: Annotated[str | None, Field(description="running, done, failed, stopped, incomplete")] = None,
        limit: Annotated[int, Field(ge=1, le=500)] = 50,
    ) -> dict[str, Any]:
        """All runs, the newest first: name, state, stage, model, adapter, last loss, best evaluation."""
        from tunesmith_library_studio.runs import Asked

        page = studio.runs.page(Asked(search=search, state=state, limit=limit))
        return {key: page[key] for key in ("items", "total")}

    def run_status(run: Run) -> dict[str, Any]:
        """How one run stands: state, progress with the time left, warnings, last values of what it logs, its job."""
        job = studio.jobs.of_run(run)
        if job and job.state == "queued":  # it has no folder yet
            return {"job": job.told()}
        return {"run": studio.runs.row(run), **studio.watching.state(run), "job": job.told() if job else None}

    def curves(
        run: Run,
        metrics: Annotated[
            Sequence[str], Field(description="such as loss, learning_rate, grad_norm; the main ones else")
        ] = (),
        points: Annotated[int, Field(ge=2, le=1000, description="of each curve, at most")] = 50,
        smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> dict[str, Any]:
        """What a run logged, thinned out so that extremes stay."""
        from tunesmith_library_studio.watching.curves import View

        return studio.curves.of(run, View(points=points, smoothing=smoothing, metrics=tuple(metrics)))

    def compare_runs(runs: Annotated[list[str], Field(min_length=2, max_length=20)]) -> dict[str, Any]:
        """Runs beside each other: what their configurations differ in, results, times, evaluations."""
        return studio.runs.compare(runs, studio.evaluations.numbers)

    def evaluations(
        run: Annotated[str | None, Field(description="of one run; all else")] = None,
    ) -> dict[str, Any]:
        """Results of evaluations, the newest first: evaluator, metrics, their errors, where the records are."""
        return _listed(studio.evaluations.all(run))

    return [runs, run_status, curves, compare_runs, evaluations]


def _of_jobs(studio: Studio) -> list[Tool]:
    def jobs(
        state: Literal["queued", "running", "stopping", "done", "failed", "stopped"] | None = None,
        limit: Annotated[int, Field(ge=1, le=500)] = 30,
    ) -> dict[str, Any]:
        """Jobs, the newest first: training, evaluations, exports, whoever started them."""
        found = [job for job in studio.jobs.list() if state in (None, job.state)]
        return {"items": [job.told() for job in found[:limit]], "total": len(found)}

    def job(id: str) -> dict[str, Any]:
        """One job: its state, why it waits or failed, its exit code, and the end of its log."""
        part = studio.jobs.log(id)
        return {**studio.jobs.get(id).told(), "log_end": (part.text + part.unfinished)[-_TOLD:]}

    def job_log(
        id: str, offset: Annotated[int | None, Field(ge=0, description="in bytes; the end of the log else")] = None
    ) -> dict[str, Any]:
        """A part of what a job said; `offset` is where the next part begins, `size` the whole length in bytes."""
        part = studio.jobs.log(id, offset)
        return {"text": part.text + part.unfinished, "start": part.start, "offset": part.offset, "size": part.size}

    def devices() -> dict[str, Any]:
        """GPUs and the processor: memory and what of it is in use (bytes), utilisation (0 to 1)."""
        return _listed([device.told() for device in studio.devices.now()])

    return [jobs, job, job_log, devices]


def _of_data(studio: Studio) -> list[Tool]:
    def data_sets(search: str = "") -> dict[str, Any]:
        """Data sets that a run can name: entries of the registry, and files of the workspace."""
        return _listed(studio.data.listed(search))

    def data_rows(
        data: Annotated[str, Field(description="as data_sets names it")],
        offset: Annotated[int, Field(ge=0)] = 0,
        limit: Annotated[int, Field(ge=1, le=50)] = 5,
    ) -> dict[str, Any]:
        """What a data set is made of (`about`), and some of its rows."""
        opened = studio.data.opened(data)
        found = opened.page(offset + 1, limit)
        told = studio.data.told(data, found, studio.data.reading(data, opened))
        return {"about": studio.data.about(data), "rows": told}

    def data_check(data: Annotated[list[str], Field(min_length=1, max_length=20)]) -> dict[str, Any]:
        """What is wrong with data sets: broken rows, empty answers, duplicates, roles out of order."""
        words = [word for name in data for word in studio.data.named(name).words]
        return dict(studio.data.worker.ask("check", words=words, held_out=[])["result"])

    def data_preview(config: Config = None, source: Source = None, overrides: Overrides = ()) -> dict[str, Any]:
        """What a run would train on: the first rows as text, with what is trained, the lengths in tokens, findings."""
        from tunesmith_library_studio.configuring import Given

        answer = studio.configuring.answer(Given(text=config, source=source, overrides=overrides))
        if answer["values"] is None:
            raise TunesmithError("\n".join(problem["message"] for problem in answer["problems"]))
        return _in_short(studio.data.previews.ask("preview", configuration=answer["values"]))

    return [data_sets, data_rows, data_check, data_preview]


def _in_short(preview: Mapping[str, Any]) -> dict[str, Any]:
    """A preview without what is there to be drawn: tokens one by one, the histogram, every single finding."""
    told = dict(preview["result"])
    examples = [{**one, "parts": [_as_text(part) for part in one["parts"]]} for one in told["examples"]]
    lengths = {name: value for name, value in told["lengths"].items() if name != "histogram"}
    found = told["findings"] and told["findings"]["summary"]
    return {**told, "examples": examples, "lengths": lengths, "findings": found, "notes": preview["notes"]}


def _as_text(part: Mapping[str, Any]) -> dict[str, Any]:
    spans = [{"text": "".join(span["tokens"]), "trained": span["trained"]} for span in part["spans"]]
    return {**part, "spans": spans}


def _listed(items: Sequence[Any]) -> dict[str, Any]:
    """A list as one answer: of a bare one, clients make a text of each item."""
    return {"items": items, "total": len(items)}
