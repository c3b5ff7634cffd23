"""The newest metrics for Prometheus, as a file that node_exporter's textfile collector reads."""

import json
from pathlib import Path
from typing import Annotated

from tunesmith import hookimpl, plugin
from tunesmith.files import replacing
from tunesmith.ranges import file_in_run
from tunesmith.types import Evaluated, RunStarted, StepEnded


@plugin
class Prometheus:
    """Write `metrics.prom`: a gauge for each metric, the newest value of it."""

    filename: Annotated[str, file_in_run] = "metrics.prom"  # in the run's folder
    _path: Path | None = None
    _newest: dict[str, float] = {}

    @hookimpl
    def on_event(self, event):
        if isinstance(event, RunStarted):
            self._path, self._newest = event.output_dir / self.filename, {}
        if isinstance(event, StepEnded | Evaluated) and event.metrics and self._path:
            self._newest |= {**event.metrics, "step": event.step}
            lines = [f"tunesmith{{metric={json.dumps(name)}}} {value}\n" for name, value in self._newest.items()]
            with replacing(self._path) as draft:
                draft.write_text("".join(lines), encoding="utf-8")
