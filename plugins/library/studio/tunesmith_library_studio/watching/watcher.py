"""The topic `run:NAME`: what changes in one run, read once a second for all who watch it."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError
from tunesmith_library_configuration.locks import IN_FOLDER, holder
from yaml import YAMLError

from tunesmith_library_studio.runs.facts import configuration_of, read_json
from tunesmith_library_studio.runs.folders import RECORD
from tunesmith_library_studio.topics import Message
from tunesmith_library_studio.watching.columns import Columns
from tunesmith_library_studio.watching.curves import Curves
from tunesmith_library_studio.watching.logs import log_file, since, window
from tunesmith_library_studio.watching.machine import processes
from tunesmith_library_studio.watching.places import axes_of, places_of
from tunesmith_library_studio.watching.progress import phase, progress
from tunesmith_library_studio.watching.samples import evaluators

_SELDOM = 3.0  # seconds between two looks at what takes longer: folders, processes
_STEADY = (
    *("name", "state", "resumable", "foreign", "problem", "stage", "model", "adapter", "quantizer", "data", "started"),
    *("result", "tags", "notes", "job"),
)  # of a row: what is not another at each step
_PREDICTED = ("predicted", "measured", "machine", "status")


class RunWatcher:
    """One run.

    Messages, by type:

    - `state`: of the run's row of GET /api/runs what stays for a while, with `checkpoints` (steps), `record` (of
      `run.json`), `evaluators` (as `evaluators` gives them), `log` (the file's name, or null); first of all, and
      whenever any of it is another.
    - `progress`: as `progress` gives it, with `processes` (as `processes` gives it, or null).
    - `metrics`: what was logged: `generation`, `start` and `rows` (records before and behind it), `points` (by name
      `step` and `y`), `places` (by axis, for each of these steps as a text, where it is).
    - `warning`: one finding of the guard: `step`, `name`, `message`, `advice`, `time`.
    - `log`: `lines` that were printed, `start` and `end` in bytes.
    - `error`: the run is gone, or not there yet; a text. A `state` follows when it comes.

    Args:
        row: gives the run's row, by its name.
        log: gives the file of the output of the run's job, or None.
    """

    def __init__(
        self,
        name: str,
        curves: Curves,
        row: Callable[[str], Mapping[str, Any]],
        log: Callable[[str], Path | None],
    ) -> None:
        self.name, self.folder = name, curves.place(name)
        self._curves, self._row, self._own_log = curves, row, log
        self._marks: dict[str, int] = {}  # points of each metric that were told
        self._rows = self._generation = 0
        self._columns = Columns()
        self._state: dict[str, Any] = {}
        self._progress: dict[str, Any] = {}
        self._held: tuple[Any, ...] | None = None
        self._warned = 0
        self._log: tuple[Path | None, int] = (None, 0)
        self._seldom = 0.0
        self._taken: dict[str, Any] | None = None
        self._gone = not self.folder.is_dir()
        self._config: tuple[int, Mapping[str, Any]] = (0, {})
        with contextlib.suppress(TunesmithError):
            recording = curves.recording(name)
            self._columns, self._generation = recording.columns, recording.generation
            self._mark()
        self._look_at_rest()
        self._warned, self._progress = len(self.warnings()), self._now()

    def first(self) -> list[Message]:
        """The state, the progress, all warnings and the end of the log; curves are asked for by themselves."""
        if not self.folder.is_dir():
            return [self._message("error", self._absent)]
        file, _ = self._log
        found = [self._message("state", self._state), self._message("progress", self._now())]
        found += [self._message("warning", each) for each in self.warnings()]
        if file is not None and file.is_file():
            found.append(self._message("log", window(file)))
        return found

    def changes(self) -> list[Message]:
        if not self.folder.is_dir():
            gone, self._gone = self._gone, True
            return [] if gone else [self._message("error", self._absent)]
        self._gone = False
        found = [*self._logged(), *self._printed()]
        before = self._state
        self._look_at_rest()
        if self._state != before:
            found.append(self._message("state", self._state))
        now = self._now()
        if now != self._progress:
            self._progress = now
            found.append(self._message("progress", now))
        warnings = self.warnings()
        new, self._warned = warnings[self._warned :], len(warnings)
        return found + [self._message("warning", each) for each in new]

    def warnings(self) -> list[dict[str, Any]]:
        """What the guard found, from the first on."""
        found = []
        with contextlib.suppress(OSError):
            for line in (self.folder / "guard.jsonl").read_text(encoding="utf-8", errors="replace").splitlines():
                with contextlib.suppress(ValueError):
                    found.append(json.loads(line))
        return [each for each in found if isinstance(each, dict)]

    @property
    def _absent(self) -> str:
        return f"{self.name} is not there: it has not begun yet, or was deleted, or moved."

    def _logged(self) -> list[Message]:
        """The points that were added, of each metric; none where curves must be asked for again."""
        try:
            recording = self._curves.recording(self.name)
        except TunesmithError:  # nothing is logged yet
            return []
        with recording.held() as columns:
            self._columns, generation, start = columns, recording.generation, self._rows
            same = generation == self._generation
            if same and columns.rows == start:
                return []
            points = dict(self._points()) if same else {}
            places = self._places({step for each in points.values() for step in each["step"]})
            self._generation = generation
            self._mark()
        told = {"generation": generation, "start": start if same else 0, "rows": self._rows}
        return [self._message("metrics", {**told, "points": points, "places": places})]

    def _points(self) -> list[tuple[str, dict[str, list[Any]]]]:
        found: list[tuple[str, dict[str, list[Any]]]] = []
        for name, column in self._columns.items():
            mark = self._marks.get(name, 0)
            if len(column) > mark and name not in ("time", "epoch"):
                found.append((name, {"step": column.steps[mark:].tolist(), "y": column.values[mark:].tolist()}))
        return found

    def _places(self, steps: set[int]) -> dict[str, dict[str, float]]:
        found = {axis: places_of(self._columns, axis) for axis in axes_of(self._columns)}
        return {axis: {str(step): at.of(step) for step in sorted(steps)} for axis, at in found.items() if at}

    def _mark(self) -> None:
        self._marks = {name: len(column) for name, column in self._columns.items()}
        self._rows = self._columns.rows

    def _printed(self) -> list[Message]:
        file, place = self._log
        if file is None:
            return []
        try:
            told = since(file, place)
        except OSError:
            self._log = (None, 0)
            return []
        self._log = (file, told["end"])
        return [self._message("log", told)] if told["lines"] else []

    def _look_at_rest(self) -> None:
        """The state, when who holds the folder is another, and seldom all that lies in it."""
        held = holder(self.folder / IN_FOLDER)
        due = time.monotonic() >= self._seldom
        if not due and self._held is not None and self._held[0] == held:
            return
        self._held, self._seldom = (held,), time.monotonic() + _SELDOM
        self._taken = processes(held[0].process) if held is not None and held[0].is_here else None
        file = log_file(self.folder, self._own_log(self.name))
        if file != self._log[0]:
            self._log = (file, file.stat().st_size if file else 0)
        record = read_json(self.folder / "run.json")
        row = self._row(self.name)
        self._state = {
            **{name: row.get(name) for name in _STEADY},
            "checkpoints": _checkpoints(self.folder),
            "record": {name: record[name] for name in _PREDICTED if name in record} or None,
            "evaluators": evaluators(self.folder),
            "log": file.name if file else None,
        }

    def _now(self) -> dict[str, Any]:
        state = str(self._state.get("state", ""))
        config = self._configuration() if state == "running" else {}
        return {**progress(self._columns, phase(self.folder, self._columns, state, config)), "processes": self._taken}

    def _configuration(self) -> Mapping[str, Any]:
        """Of the run, read again when it was written anew; {} where it cannot be read."""
        try:
            changed = (self.folder / RECORD).stat().st_mtime_ns
            if changed != self._config[0]:
                self._config = (changed, configuration_of(self.folder))
        except (OSError, ValueError, YAMLError):
            return {}
        return self._config[1]

    def _message(self, kind: str, data: Any) -> Message:
        return Message(f"run:{self.name}", kind, data)


def _checkpoints(folder: Path) -> list[int]:
    names = (place.name.removeprefix("checkpoint-") for place in folder.glob("checkpoint-*"))
    return sorted(int(name) for name in names if name.isdecimal())
