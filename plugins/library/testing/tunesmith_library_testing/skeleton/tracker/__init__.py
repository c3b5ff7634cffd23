"""A tracker: the metrics of a run as a table that spreadsheets open."""

import csv
from pathlib import Path
from typing import Annotated

from tunesmith import hookimpl, plugin
from tunesmith.ranges import file_in_run
from tunesmith.types import Evaluated, Event, RunStarted, StepEnded


@plugin
class Placeholder:
    """One line per metric and step, in a file of the output folder."""

    file: Annotated[str, file_in_run] = "placeholder.csv"  # name of the file

    _path: Path | None = None

    @hookimpl
    def on_event(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._path = event.output_dir / self.file
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if not event.resumed_from or not self._path.exists():
                self._path.write_text("step,metric,value\n", encoding="utf-8")
        elif isinstance(event, StepEnded | Evaluated) and event.metrics and self._path:
            with self._path.open("a", newline="", encoding="utf-8") as table:
                csv.writer(table).writerows((event.step, name, value) for name, value in event.metrics.items())
