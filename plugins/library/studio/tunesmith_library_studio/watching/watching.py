"""All that can be asked of runs while they go on, and afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tunesmith import TunesmithError

from tunesmith_library_studio.runs.folders import NoSuchRun
from tunesmith_library_studio.watching import logs
from tunesmith_library_studio.watching.curves import Curves
from tunesmith_library_studio.watching.machine import MachineWatcher
from tunesmith_library_studio.watching.samples import samples
from tunesmith_library_studio.watching.watcher import RunWatcher


class Watching:
    """Logs, warnings and samples of runs, and the topics `run:NAME` and `machine`.

    Args:
        row: gives a run's row by its name.
        log: gives the file in which the output of a run's job is, or None.
        gpus: gives the GPUs with what they have in use.
        runs: the folder of all runs, of whose disk is told how full it is.
    """

    def __init__(
        self,
        curves: Curves,
        row: Callable[[str], Mapping[str, Any]],
        log: Callable[[str], Path | None],
        gpus: Callable[[], list[dict[str, Any]]],
        runs: Path,
    ) -> None:
        self._curves, self._row, self._own_log, self._gpus, self._runs = curves, row, log, gpus, runs

    def run(self, name: str) -> RunWatcher:
        """What the topic `run:NAME` looks with. Raises: TunesmithError for what is no name of a run."""
        return RunWatcher(name, self._curves, self._row_of, self._own_log)

    def machine(self) -> MachineWatcher:
        """What the topic `machine` looks with."""
        return MachineWatcher(self._runs, self._gpus)

    def state(self, name: str) -> dict[str, Any]:
        """A run as it is now: `state` and `progress` as the topic tells them, and all `warnings`.

        Raises: TunesmithError where there is no such run.
        """
        self._curves.folder(name)
        watcher = self.run(name)
        told = {message.type: message.data for message in watcher.first() if message.type in ("state", "progress")}
        return {**told, "warnings": watcher.warnings()}

    def log(self, name: str, end: int | None = None, search: str = "", only: str = "") -> dict[str, Any]:
        """What a run printed before a place in its log, or the lines with a text in them: see `logs`.

        Returns: also `file`, how the log is called; null, and no lines, where there is none.
        Raises: TunesmithError where there is no such run.
        """
        file = logs.log_file(self._curves.folder(name), self._own_log(name))
        if file is None:
            return {"file": None, "lines": [], "start": 0, "end": 0, "size": 0}
        found = logs.search(file, search, only) if search or only else logs.window(file, end)
        return {"file": file.name, **found}

    def log_path(self, name: str) -> Path:
        """The file of a run's log. Raises: TunesmithError where there is none."""
        file = logs.log_file(self._curves.folder(name), self._own_log(name))
        if file is None:
            raise TunesmithError(f"{name} has no log: it was started in a terminal, where its output went.")
        return file

    def samples(
        self, name: str, evaluator: str, steps: tuple[int, ...] = (), offset: int = 0, limit: int = 10
    ) -> dict[str, Any]:
        """What a run's model answered at its evaluations: see `samples`. Raises: TunesmithError."""
        return samples(self._curves.folder(name), evaluator, steps, offset, limit)

    def _row_of(self, name: str) -> Mapping[str, Any]:
        """A run's row; little of a folder that has nothing but metrics."""
        try:
            return self._row(name)
        except NoSuchRun:
            return {"name": name, "state": "incomplete", "resumable": False, "foreign": True}
