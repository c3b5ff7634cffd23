"""Curves of runs as a front end draws them: thinned, smoothed, over an axis, with what their names mean."""

from __future__ import annotations

import csv
import io
import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError
from tunesmith_library_plotting.panels import Part, asked, part, results, shown

from tunesmith_library_studio.runs.folders import folder_of
from tunesmith_library_studio.watching.columns import Column, Columns
from tunesmith_library_studio.watching.places import Axis, Places, axes_of, places_of
from tunesmith_library_studio.watching.recording import Recording, metrics_file
from tunesmith_library_studio.watching.thinning import smoothed, thinned
from tunesmith_library_studio.workspace import Workspace

_KEPT = 64 << 20  # bytes of numbers of runs that nobody listens to
_SPEED = "tokens_per_second"


@dataclass(frozen=True)
class View:
    """What of a run's curves is wanted."""

    points: int = 1000  # of a curve, at most; a longer one keeps the extremes of each stretch
    smoothing: float = 0.0  # share of the past in the smoothed curves of training, in [0, 1); 0 makes none
    axis: Axis = "step"
    start: float | None = None  # of the part that is looked at, in units of the axis
    end: float | None = None
    metrics: Collection[str] = ()  # by their logged names; none are those that have a panel, and evaluators' results
    more: Collection[str] = ()  # beside these


class Curves:
    """The curves of the runs in a workspace. What was read is kept while there is room, the newest looks first."""

    def __init__(self, workspace: Workspace, kept: int = _KEPT) -> None:
        self._workspace, self._most = workspace, kept
        self._kept: OrderedDict[Path, Recording] = OrderedDict()
        self._lock = threading.Lock()

    def place(self, name: str) -> Path:
        """Where a run of a name lies, or will lie. Raises: TunesmithError for what is no name of a run."""
        return folder_of(self._workspace, name)

    def folder(self, name: str) -> Path:
        """The folder of a run by its name, a path in the folder of runs.

        Raises: TunesmithError where there is none, or it leads out of the workspace.
        """
        folder = self.place(name)
        if not folder.is_dir():
            raise TunesmithError(
                f"{name}: no run has this name in {self._workspace.shown(self._workspace.runs)}.\n"
                "  those that are there: tunesmith webui shows them under Runs, GET /api/runs lists them"
            )
        return folder

    def recording(self, name: str) -> Recording:
        """What a run has logged, up to date.

        Raises: TunesmithError where nothing is, or the run is none.
        """
        folder = self.folder(name)
        with self._lock:
            found = self._kept.pop(folder, None)
            if found is None or (found.file.suffix != ".jsonl" and found.file != metrics_file(folder)):
                found = Recording(
                    folder, self._workspace.state / "curves"
                )  # a newer checkpoint, or a file that says more
            self._kept[folder] = found
        found.look()
        self._let_go()
        return found

    def of(self, name: str, view: View) -> dict[str, Any]:
        """A run's curves.

        Returns: as JSON has it: `name`, `file`, `rows` (records that were read), `generation` (another one where what
            was there is no longer so), `step`, `total_steps`, `axis`, `axes` (those that the run knows), `metrics`
            (of all that was logged what it means) and `curves`, by name.
        Raises: as `recording`.
        """
        recording = self.recording(name)
        with recording.held() as columns:
            axes = axes_of(columns)
            axis = places_of(columns, view.axis) if view.axis in axes else None
            metrics = described(columns)
            wanted = view.metrics or [each["name"] for each in metrics if each["shown"] or each["name"] in view.more]
            return {
                "name": name,
                "file": recording.file.name,
                "rows": columns.rows,
                "generation": recording.generation,
                "step": columns.last_step,
                "total_steps": columns.total_steps,
                "axis": view.axis if view.axis in axes else "step",
                "axes": axes,
                "metrics": metrics,
                "curves": {name: _curve(name, columns[name], axis, view) for name in wanted if name in columns},
            }

    def table(self, name: str, metrics: Collection[str] = ()) -> str:
        """All values as CSV, a line for each logged step; where a metric has none its cell is empty.

        Args:
            metrics: by their names; none are all.

        Raises: as `recording`.
        """
        cells: dict[int, dict[str, float]] = {}
        with self.recording(name).held() as columns:
            names = [metric for metric in columns if not metrics or metric in metrics or metric in ("epoch", "time")]
            for metric in names:
                for step, value in zip(columns[metric].steps, columns[metric].values, strict=True):
                    when = value + columns.paused(step) if metric == "time" else value
                    cells.setdefault(step, {})[metric] = when
        written = io.StringIO()
        writer = csv.DictWriter(written, ["step", *names], restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({"step": step, **cells[step]} for step in sorted(cells))
        return written.getvalue()

    def _let_go(self) -> None:
        with self._lock:
            while len(self._kept) > 1 and sum(each.columns.bytes for each in self._kept.values()) > self._most:
                self._kept.popitem(last=False)


def described(columns: Columns) -> list[dict[str, Any]]:
    """Of each logged metric: its name, the panel that it belongs to, what it was measured on, whether it is shown."""
    names = {name: 0.0 for name, column in columns.items() if len(column) or column.skipped}
    seen = {*shown(names), *results(names), _SPEED}
    order = {name: place for place, name in enumerate(names)}
    ranked = sorted(names, key=lambda name: (name not in seen, *_meant(name).place, order[name]))
    return [
        {
            "name": name,
            **asdict(_meant(name)),
            "short": _meant(name).short,
            "evaluation": _meant(name).is_evaluation,
            "shown": name in seen,
            "count": len(columns[name]),
            "skipped": columns[name].skipped,
        }
        for name in ranked
        if name not in ("epoch", "time")
    ]


@lru_cache(4096)
def _meant(name: str) -> Part:
    return asked(name)


def _curve(name: str, column: Column, axis: Places | None, view: View) -> dict[str, Any]:
    """The points of one metric: `step`, `x`, `y`, `smooth` (where it was asked for, else null), and of all its values
    `count`, `min`, `max`, `last`; `total` and `weight`, with which the smoothed curve goes on."""
    start, end = _part(column, axis, view)
    kept = thinned(column.values, start, end, view.points)
    steps = [column.steps[at] for at in kept]
    found: dict[str, Any] = {
        "step": steps,
        "x": steps if axis is None else [axis.of(step) for step in steps],
        "y": [column.values[at] for at in kept],
        "smooth": None,
        "count": len(column),
        "thinned": len(kept) < end - start,
    }
    if len(column):
        found |= {"min": min(column.values), "max": max(column.values), "last": column.values[-1]}
    if view.smoothing and smooths(name):
        averages, total, weight = smoothed(column.values, view.smoothing)
        found |= {"smooth": [averages[at] for at in kept], "total": total, "weight": weight}
    return found


def smooths(name: str) -> bool:
    """Whether a smoothed curve of a metric tells something: not of learning rates, nor of the few evaluations."""
    meant = part(name) or asked(name)
    return not meant.is_evaluation and meant.metric != "learning_rate"


def _part(column: Column, axis: Places | None, view: View) -> tuple[int, int]:
    """The points of a column that are looked at, and one beyond on each side, so that lines go to the edges."""
    start, end = 0, len(column)
    if view.start is not None:
        first = view.start if axis is None else axis.first_at(view.start)
        start = max(0, bisect_left(column.steps, first) - 1)
    if view.end is not None:
        last = view.end if axis is None else axis.first_at(view.end)
        end = min(len(column), bisect_right(column.steps, last) + 1)
    return start, max(start, end)
