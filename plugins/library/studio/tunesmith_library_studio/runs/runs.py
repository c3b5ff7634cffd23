"""The runs of a workspace: listed, looked at, compared, noted about, moved and deleted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from tunesmith import TunesmithError

import tunesmith_library_studio.runs.comparing as comparing
import tunesmith_library_studio.runs.files as files
from tunesmith_library_studio.runs.details import details, named_by
from tunesmith_library_studio.runs.facts import Facts, read_json
from tunesmith_library_studio.runs.folders import Place, folder_of, free_place, place_of
from tunesmith_library_studio.runs.index import Index
from tunesmith_library_studio.runs.notes import Notes
from tunesmith_library_studio.runs.rows import Row, columns_of, matches, row_of, sort
from tunesmith_library_studio.runs.trash import Trash, move, refuse_busy
from tunesmith_library_studio.runs.watching import RunsWatcher
from tunesmith_library_studio.workspace import Workspace

_AT_WORK = ("queued", "running", "stopping")  # states of jobs that have not ended
_MOST_COMPARED = 50


class NamedByOthers(TunesmithError):
    """Other runs would not find a run any more."""


class Job(Protocol):
    """What may work on a run; see `tunesmith_library_studio.jobs`."""

    @property
    def id(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def run(self) -> str | None: ...
    @property
    def state(self) -> str: ...


@dataclass(frozen=True)
class Asked:
    """Which runs are listed, and how."""

    search: str = ""  # words that all must be there
    state: str | None = None
    stage: str | None = None
    model: str | None = None
    tag: str | None = None
    sort: str = "started"
    descending: bool = True
    offset: int = 0
    limit: int = 100
    columns: tuple[str, ...] = ()  # further ones: trainer.learning_rate, metrics.grad_norm


class Runs:
    """All runs of a workspace.

    Args:
        jobs: gives all jobs, the newest first.
    """

    def __init__(self, workspace: Workspace, jobs: Callable[[], Iterable[Job]] = list) -> None:
        self._workspace, self._jobs = workspace, jobs
        self._index, self.trash = Index(workspace), Trash(workspace)

    @cached_property
    def _notes(self) -> Notes:
        return Notes(self._workspace.state)

    def page(self, asked: Asked) -> dict[str, Any]:
        """One page of the table: `items`, `total` of those that match, and `values` of each filter over all runs."""
        pairs = self._rows()
        wanted = {"state": asked.state, "stage": asked.stage, "model": asked.model, "tag": asked.tag}
        chosen = [(row, facts) for row, facts in pairs if matches(row, asked.search, wanted)]
        columns = {*asked.columns, *([asked.sort] if "." in asked.sort else [])}
        for row, facts in chosen if columns else ():
            row["values"] = {key: value for key, value in columns_of(facts) if key in columns}
        rows = sort([row for row, _ in chosen], asked.sort, asked.descending)
        shown = rows[asked.offset : asked.offset + asked.limit]
        return {"items": shown, "total": len(rows), "values": _values([row for row, _ in pairs])}

    def rows(self) -> list[Row]:
        """The rows of all runs."""
        return [row for row, _ in self._rows()]

    def folders(self) -> dict[str, Path]:
        """The folders of all runs, by their names."""
        return {place.name: place.path for place, _ in self._index.look()}

    def watcher(self) -> RunsWatcher:
        """What tells of changes: the topic `runs`."""
        return RunsWatcher(self.rows)

    def columns(self) -> list[str]:
        """All keys that further columns may show."""
        found = {key for _, facts in self._index.look() for key, _ in columns_of(facts)}
        return sorted(found)

    def row(self, name: str) -> Row:
        """One run's row. Raises: NoSuchRun."""
        return self._row(place_of(self._workspace, name))[0]

    def get(self, name: str) -> dict[str, Any]:
        """One run's row with its details. Raises: NoSuchRun."""
        place = place_of(self._workspace, name)
        row, facts = self._row(place)
        return {**row, **details(place, facts, self._workspace)}

    def folder(self, name: str) -> Path:
        """A run's folder. Raises: NoSuchRun."""
        return place_of(self._workspace, name).path

    def file(self, name: str, path: str) -> Path:
        """A file of a run. Raises: TunesmithError where there is none, or it lies outside of the workspace."""
        return self._workspace.path(files.file_of(self.folder(name), path))

    def note(self, name: str, tags: Sequence[str] | None, notes: str | None) -> Row:
        """Set tags and notes; None leaves what is there. Raises: TunesmithError."""
        place = place_of(self._workspace, name)
        self._notes.set(name, tags, notes)
        return self._row(place)[0]

    def expect(self, name: str, tags: Sequence[str]) -> None:
        """Tag a run that is yet to be made. Raises: TunesmithError."""
        folder_of(self._workspace, name)
        self._notes.set(name, tags, None)

    def rename(self, name: str, to: str) -> Row:
        """Give a run another name; notes and exports keep theirs.

        Raises: TunesmithError where it is at work, named by others, or the new name is taken or none.
        """
        place, target = place_of(self._workspace, name), free_place(self._workspace, to)
        self._refuse_named(place, said="is not renamed")
        self._refuse_working(name)
        move(place.path, target)
        self._notes.move(name, to)
        return self.row(to)

    def delete(self, name: str, *, anyway: bool = False) -> str:
        """Move a run to the trash; gives its id there.

        Args:
            anyway: also one that other runs name.

        Raises: TunesmithError, ConfigError where it is at work, or others name it.
        """
        place = place_of(self._workspace, name)
        self._refuse_working(name)
        refuse_busy(place.path)
        if not anyway:
            self._refuse_named(place, said="is not deleted")
        identity = self.trash.add(name, place.path, self._notes.all().get(name, {}))
        self._notes.forget(name)
        return identity

    def restore(self, identity: str, to: str | None = None) -> Row:
        """Bring a deleted run back. Raises: TunesmithError."""
        name, note = self.trash.restore(identity, to)
        if note:
            self._notes.set(name, note.get("tags"), note.get("notes"))
        return self.row(name)

    def compare(self, names: Sequence[str], evaluations: Callable[[Path], Mapping[str, Any]]) -> dict[str, Any]:
        """Runs side by side.

        Args:
            evaluations: gives a folder's results: evaluator → data set → metric → number.

        Returns: `runs`, rows with `figures`; `differences` of their configurations; `evaluations`, each metric that any
            of them has, with its `values` in the order of the runs.
        Raises: TunesmithError for a run that is not there, or numbers that nobody compares.
        """
        if not 2 <= len(names) <= _MOST_COMPARED or len({*names}) < len(names):
            raise TunesmithError(f"two to {_MOST_COMPARED} different runs are compared; these are {len(names)}.")
        places = [place_of(self._workspace, name) for name in names]
        pairs = [self._row(place) for place in places]
        runs = []
        for place, (row, facts) in zip(places, pairs, strict=True):
            last = facts.logged.get("last") or {}
            runs.append({**row, "figures": comparing.figures(row, read_json(place.path / "run.json"), last)})
        measured = [evaluations(place.path) for place in places]
        return {
            "runs": runs,
            "differences": comparing.differences([facts.config for _, facts in pairs]),
            "evaluations": _side_by_side(measured),
        }

    def _row(self, place: Place) -> tuple[Row, Facts]:
        facts = self._index.one(place)
        return row_of(place, facts, self._notes.all().get(place.name, {}), self._trainings().get(place.name)), facts

    def _rows(self) -> list[tuple[Row, Facts]]:
        notes, jobs = self._notes.all(), self._trainings()
        return [
            (row_of(place, facts, notes.get(place.name, {}), jobs.get(place.name)), facts)
            for place, facts in self._index.look()
        ]

    def _trainings(self) -> dict[str, Job]:
        """The newest job that trains each run."""
        found: dict[str, Job] = {}
        for job in self._jobs():
            if job.run and job.kind == "train":
                found.setdefault(job.run, job)
        return found

    def _refuse_working(self, name: str) -> None:
        for job in self._jobs():
            if job.run == name and job.state in _AT_WORK:
                raise TunesmithError(f"{name} is at work: job {job.id} ({job.kind}) is {job.state}.\nstop it first")

    def _refuse_named(self, place: Place, said: str) -> None:
        others = {other.name: facts.config for other, facts in self._index.look()}
        found = named_by(place, others, self._workspace)
        if found:
            lines = "\n".join(f"  {name}: {key}" for name, key in found[:10])
            raise NamedByOthers(f"{place.name} {said}, since other runs name it, and would not find it:\n{lines}")


def _values(rows: Sequence[Row]) -> dict[str, list[str]]:
    """What a filter can choose from."""
    found = {name: sorted({row[name] for row in rows if row[name]}) for name in ("state", "stage", "model")}
    return {**found, "tag": sorted({tag for row in rows for tag in row["tags"]})}


def _side_by_side(measured: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    leaves = [
        {
            (evaluator, part, metric): number
            for evaluator, parts in each.items()
            for part, numbers in parts.items()
            for metric, number in numbers.items()
        }
        for each in measured
    ]
    keys = dict.fromkeys(key for each in leaves for key in each)
    return [
        {"evaluator": key[0], "dataset": key[1], "metric": key[2], "values": [each.get(key) for each in leaves]}
        for key in keys
    ]
