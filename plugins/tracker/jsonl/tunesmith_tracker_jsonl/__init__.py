"""Training metrics for other programs: one JSON object per line, in the run's folder."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TextIO

from tunesmith import hookimpl, plugin
from tunesmith.files import replacing
from tunesmith.ranges import file_in_run
from tunesmith.traits import TrackerTraits
from tunesmith.types import Evaluated, Event, RunEnded, RunStarted, StepEnded


@plugin
class Jsonl:
    """Writes `metrics.jsonl`: a line per logged step and per evaluation, each at once."""

    filename: Annotated[str, file_in_run] = "metrics.jsonl"  # in the run's folder

    _file: TextIO | None = None
    _resumed: float | None = None  # when the run went on, in seconds since 1970, until a line has told it

    @property
    def traits(self) -> TrackerTraits:
        return TrackerTraits(metrics_file=self.filename)

    @hookimpl
    def on_event(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._close()
                path = event.output_dir / self.filename
                keep_until(path, event.resumed_from)
                self._resumed = time.time() if event.resumed_from else None
                self._file = path.open("a", encoding="utf-8")
            case StepEnded(metrics=metrics) if metrics:
                place = {"step": event.step, "total_steps": event.total_steps, "epoch": event.epoch}
                self._write({"event": "step", **place, **metrics})
            case Evaluated():
                self._write({"event": "evaluation", "step": event.step, **event.metrics})
            case RunEnded():
                self._close()

    def _write(self, record: Mapping[str, Any]) -> None:
        """Write a line and pass it on to the operating system, so that a killed run loses none.

        The first line after a resumption has `resumed_at`, so that who reads can take the pause out of the time.
        """
        if self._file is not None:
            numbers = {name: _number(value) for name, value in record.items()}
            resumed = {} if self._resumed is None else {"resumed_at": round(self._resumed, 3)}
            self._file.write(json.dumps({**numbers, "time": round(time.time(), 3), **resumed}) + "\n")
            self._resumed = None
            self._file.flush()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def keep_until(path: Path, step: int) -> None:
    """Drop the lines past a step, and what a killed run left of a line; a new run (step 0) starts an empty file."""
    lines = path.read_text(encoding="utf-8").splitlines() if step and path.is_file() else []
    with replacing(path) as draft:
        draft.write_text("".join(f"{line}\n" for line in lines if 0 <= _step(line) <= step), encoding="utf-8")


def _step(line: str) -> int:
    """The step of a line, -1 when it is not a record."""
    try:
        record = json.loads(line)
    except json.JSONDecodeError:
        return -1
    return record.get("step", -1) if isinstance(record, dict) else -1


def _number(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
