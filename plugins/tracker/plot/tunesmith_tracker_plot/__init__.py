"""The curves of a run as a picture in its folder: losses, rewards, accuracies, learning rate, gradients, memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tunesmith import hookimpl, plugin
from tunesmith.ranges import Range, file_in_run
from tunesmith.types import Evaluated, Event, Problem, RunEnded, RunStarted, Saved, StepEnded
from tunesmith_library_plotting.panels import Curves, shown
from tunesmith_library_plotting.reading import Recorded, recorded

if TYPE_CHECKING:
    from tunesmith.planning import Plan


@plugin
class Plot:
    """Draws `loss.png`: losses over the steps, and beside them whatever else is logged of training and evaluations."""

    # in the run's folder; the ending chooses the format: png, svg, pdf
    filename: Annotated[str, file_in_run] = "loss.png"
    # share of the past in the smoothed curves of training; 0 draws the raw ones only
    smoothing: Annotated[float, Range(0, 1, high_excluded=True)] = 0.9

    _record: str = "metrics.jsonl"  # what the run's trackers keep of its metrics, or former ones did
    _folder: Path | None = None
    _curves: Curves = {}
    _drawn: bool = False  # as the curves are now

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        if Path(self.filename).suffix.lower() in (".png", ".svg", ".pdf"):
            return []
        message = f"{self.filename} names no format."
        return [Problem("tracker.plot.filename", message, "end it with .png, .svg or .pdf")]

    @hookimpl
    def configured(self, plan: Plan) -> None:
        files = [plan.traits("tracker", name) for name in plan.names("tracker")]
        self._record = next((kept.metrics_file for kept in files if kept and kept.metrics_file), self._record)

    @hookimpl
    def on_event(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._folder = event.output_dir
                self._curves = recorded(event.output_dir / self._record, event.resumed_from)
                self._drawn = False
            case StepEnded() if event.metrics:
                self._add(event.step, event.metrics)
            case Evaluated():
                self._add(event.step, event.metrics)
                self._draw()
            case Saved():
                self._draw()
            case RunEnded():
                self._draw()
                self._folder, self._curves = None, {}

    def _add(self, step: int, metrics: Mapping[str, float]) -> None:
        for name, value in shown(metrics).items():
            self._curves.setdefault(name, {})[step] = value
            self._drawn = False

    def _draw(self) -> None:
        if self._folder is not None and not self._drawn:
            from tunesmith_library_plotting.drawing import draw

            draw([Recorded("", self._curves)], self._folder / self.filename, self.smoothing)
            self._drawn = True
