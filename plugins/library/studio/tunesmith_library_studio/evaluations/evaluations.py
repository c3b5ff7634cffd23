"""Evaluations and predictions of a workspace: what there is, how it compares, and the start of new ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith import TunesmithError

import tunesmith_library_studio.evaluations.results as results
from tunesmith_library_studio.evaluations.requests import (
    FOLDER,
    Request,
    command_of,
    folder_of,
    plan_of,
    unfinished,
)
from tunesmith_library_studio.evaluations.results import BEFORE, PREDICTIONS, SAMPLES, Filter
from tunesmith_library_studio.workspace import Workspace

if TYPE_CHECKING:
    from tunesmith_library_studio.jobs import Jobs

_SECONDS = 120.0  # that a comparison or a plan may take


class Evaluations:
    """Those of all runs and other models of a workspace.

    Args:
        runs: gives the folders of all runs by name.
        jobs: gives what starts processes.
    """

    def __init__(self, workspace: Workspace, runs: Callable[[], dict[str, Path]], jobs: Callable[[], Jobs]) -> None:
        self._workspace, self._runs, self._jobs = workspace, runs, jobs

    def all(self, of: str | None = None, steps: bool = False) -> list[dict[str, Any]]:
        """All results, the newest first: `of` (what the folder is called), `run`, `folder`, `evaluator`, `step`,
        `model`, `metrics`, `before`, `settings`, `modified`.

        Args:
            of: only those of this run, or folder below `RUNS/evaluations`.
            steps: all that a training left, not the newest of each evaluator alone.
        """
        found = []
        for name, folder, is_run in self._folders(of):
            for evaluator, step, place in results.found_in(folder) if steps else results.newest(folder):
                told = results.result(place)
                more = {"of": name, "run": name if is_run else None, "folder": self._workspace.shown(place)}
                found.append({**told, **more, "evaluator": evaluator, "step": step})
        return sorted(found, key=lambda each: -each["modified"])

    def numbers(self, folder: Path) -> dict[str, Any]:
        """The newest numbers of a folder: evaluator → data set → metric."""
        return results.numbers_of(folder)

    def records(self, folder: str, asked: Filter, *, before: bool = False) -> dict[str, Any]:
        """A page of a result's records. Raises: TunesmithError.

        Args:
            folder: of the result, as `all` gives it.
            before: those of the model before its training.
        """
        return results.records(self._workspace.path(Path(folder) / (BEFORE if before else SAMPLES)), asked)

    def predictions(self) -> list[dict[str, Any]]:
        """The files of answers: `of`, `run`, `path`, `size`, `modified`."""
        found: list[dict[str, Any]] = []
        for name, folder, is_run in self._folders(None):
            file = folder / PREDICTIONS
            if file.is_file():
                at, path = file.stat(), self._workspace.shown(file)
                more = {"path": path, "size": at.st_size, "modified": at.st_mtime}
                found.append({"of": name, "run": name if is_run else None, **more})
        return sorted(found, key=lambda each: -each["modified"])

    def answers(self, path: str, asked: Filter) -> dict[str, Any]:
        """A page of a file of answers. Raises: TunesmithError."""
        return results.records(self.file(path), asked)

    def file(self, path: str) -> Path:
        """A file of answers. Raises: TunesmithError for any other."""
        file = self._workspace.path(path)
        if file.suffix != ".jsonl" or not file.is_file():
            raise TunesmithError(f"{path} is no file of predictions.")
        return file

    def compare(self, first: str, second: str, evaluator: str | None, examples: int) -> Any:
        """What `tunesmith eval compare` says of two folders, with examples that changed. Raises: TunesmithError."""
        folders = [str(self._workspace.path(self._shown(name))) for name in (first, second)]
        only = ["--evaluator", evaluator] if evaluator else []
        said = self._jobs().call(["eval", "compare", *folders, *only, "--examples", str(examples), "--json"], _SECONDS)
        return json.loads(said)

    def plan(self, request: Request, kind: str) -> dict[str, Any]:
        """Problems and needs of an evaluation, and its command line. Raises: TunesmithError."""
        command = command_of(request, kind, self._workspace)
        try:
            told: dict[str, Any] = json.loads(self._jobs().call(plan_of(request, kind, self._workspace), _SECONDS))
        except ValueError as error:
            raise TunesmithError("the plan of this evaluation cannot be read.") from error
        told["problems"] = [*unfinished(request, self._workspace), *told.get("problems", [])]
        return {**told, "command": command, "output": self._workspace.shown(folder_of(request, self._workspace))}

    def start(self, request: Request, kind: str, devices: Sequence[str]) -> Any:
        """Start it as a job; gives the job. Raises: TunesmithError."""
        if kind == "eval" and not request.evaluators:
            raise TunesmithError("no evaluator is chosen.\nchoose what is measured, such as perplexity")
        command, folder = command_of(request, kind, self._workspace), folder_of(request, self._workspace)
        what = ", ".join(request.evaluators) if kind == "eval" else PREDICTIONS
        output = folder if kind == "eval" else folder / PREDICTIONS
        run = next((name for name, path in self._runs().items() if path == folder), None)
        return self._jobs().start(
            kind, command, title=f"{what}: {request.model}", run=run, devices=tuple(devices), output=output
        )

    def _shown(self, name: str) -> Path:
        """A folder by the name of a run, of one below `FOLDER`, or a path."""
        known = {found: folder for found, folder, _ in self._folders(None)}
        return known.get(name, Path(name))

    def _folders(self, of: str | None) -> Iterator[tuple[str, Path, bool]]:
        runs = self._runs()
        others = results.folders(self._workspace.runs / FOLDER)
        named = [*((name, path, True) for name, path in runs.items()), *((path.name, path, False) for path in others)]
        yield from (each for each in named if of in (None, each[0]))
