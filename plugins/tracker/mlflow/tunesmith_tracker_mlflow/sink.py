"""What MLflow is told, through its client, which knows nothing of a run that is active in this process."""

from __future__ import annotations

import json
import os
import re
import time as clock
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith_library_tracking import artefacts
from tunesmith_library_tracking.evaluations import columns
from tunesmith_library_tracking.naming import allowed, flat
from tunesmith_library_tracking.sink import Start, Status, Table

if TYPE_CHECKING:
    from tunesmith_tracker_mlflow import MLflow

_MOST_PARAMS = 100  # that its server takes at once
_LONGEST_PARAM = 6_000  # characters
_LONGEST_NAME = 250  # characters
# in names of metrics and options, which are paths, too: none is absolute, leads upwards, or has empty parts
_FORBIDDEN = re.compile(r"[^/\w.\- ]|^/|/(?=/|$)|(?<![^/])\.{1,2}(?![^/])")
_ENDS = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}


class MLflowSink:
    """A run of MLflow. One that goes on is the same run, with two values at steps that are made again."""

    def __init__(self, options: MLflow) -> None:
        self._options = options
        self._client: Any = None
        self._run = ""
        self._step = 0  # the last one
        self._last: dict[str, float] = {}  # the last values

    def begin(self, start: Start) -> str:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        uri = self._options.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
        if uri and "://" not in uri:  # a folder, which it otherwise refuses
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        from mlflow.tracking import MlflowClient

        self._client = MlflowClient(tracking_uri=uri)
        self._run = self._gone_on_with(start.known_as) or self._created(start)
        self._params(flat(start.config))
        return self._run

    def _gone_on_with(self, known_as: str | None) -> str | None:
        """The run of that id, if it is still there, running again."""
        from mlflow.exceptions import MlflowException

        if known_as is None:
            return None
        try:
            self._client.get_run(known_as)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        self._client.update_run(known_as, status="RUNNING")
        return known_as

    def _created(self, start: Start) -> str:
        name = self._options.experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or "tunesmith"
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self._client.create_experiment(name)
        tags = {**json.loads(os.environ.get("MLFLOW_TAGS") or "{}"), **self._options.tags}
        if self._options.notes:
            tags["mlflow.note.content"] = self._options.notes
        return str(self._client.create_run(experiment, run_name=start.name, tags=tags).info.run_id)

    def _params(self, options: Mapping[str, Any]) -> None:
        """Keep the options; one that a run has cannot be changed, so that those of its first part stay."""
        from mlflow.entities import Param

        there = self._client.get_run(self._run).data.params
        named = allowed(options, _FORBIDDEN, _LONGEST_NAME)
        params = [Param(name, str(value)[:_LONGEST_PARAM]) for name, value in named.items() if name not in there]
        for first in range(0, len(params), _MOST_PARAMS):
            self._client.log_batch(self._run, params=params[first : first + _MOST_PARAMS])

    def log(self, step: int, numbers: Mapping[str, float], time: float) -> None:
        from mlflow.entities import Metric

        self._step = step
        self._last |= numbers
        when = int(time * 1000)
        named = allowed(numbers, _FORBIDDEN, _LONGEST_NAME)
        self._client.log_batch(self._run, [Metric(name, value, when, step) for name, value in named.items()])

    def table(self, table: Table) -> None:
        for name, rows in (("numbers", table.numbers), ("examples", table.examples)):
            if rows:
                data = {column: [row.get(column) for row in rows] for column in columns(rows)}
                file = f"eval/{table.name}/step-{table.step}/{name}.json"
                self._client.log_table(self._run, data, file)

    def result(self, folder: Path) -> None:
        self._client.set_tag(self._run, "result", str(folder.resolve()))
        if self._options.log_model:
            for file in artefacts.files(folder):
                self._client.log_artifact(self._run, str(file), "model")

    def end(self, status: Status, numbers: Mapping[str, float]) -> None:
        new = {name: value for name, value in numbers.items() if self._last.get(name) != value}
        if new:
            self.log(self._step, new, clock.time())
        self._client.set_terminated(self._run, _ENDS[status])
