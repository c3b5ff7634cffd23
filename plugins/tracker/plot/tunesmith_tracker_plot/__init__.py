"""The loss curves of a run as a picture in its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from tunesmith import hookimpl, plugin
from tunesmith.types import Evaluated, Event, Problem, RunEnded, RunStarted, Saved, StepEnded

if TYPE_CHECKING:
    from tunesmith.planning import Plan

Curves = dict[str, dict[int, float]]
"""Name of a loss -> step -> value."""


@plugin
class Plot:
    """Draws `loss.png`: the training loss, raw and smoothed, and the evaluation losses, over the steps."""

    filename: str = "loss.png"  # in the run's folder; the ending chooses the format: png, svg, pdf
    smoothing: float = 0.9  # share of the past in the smoothed training loss; 0 draws the raw one only

    _folder: ClassVar[Path | None] = None
    _curves: ClassVar[Curves] = {}

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        found = []
        if not 0 <= self.smoothing < 1:
            found.append(Problem("tracker.plot.smoothing", f"smoothing={self.smoothing} is not in [0, 1).", "0.9"))
        if Path(self.filename).suffix.lower() not in (".png", ".svg", ".pdf"):
            message = f"{self.filename} names no format."
            found.append(Problem("tracker.plot.filename", message, "end it with .png, .svg or .pdf"))
        return found

    @hookimpl
    def on_event(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._folder = event.output_dir
                self._curves = recorded(event.output_dir, event.resumed_from)
            case StepEnded(metrics=metrics) if "loss" in metrics:
                self._curves.setdefault("loss", {})[event.step] = metrics["loss"]
            case Evaluated():
                for name, value in losses(event.metrics).items():
                    self._curves.setdefault(name, {})[event.step] = value
                self._draw()
            case Saved():
                self._draw()
            case RunEnded():
                self._draw()
                self._folder, self._curves = None, {}

    def _draw(self) -> None:
        if self._folder is not None:
            from .drawing import draw

            draw(self._curves, self._folder / self.filename, self.smoothing)


def losses(metrics: dict[str, float]) -> dict[str, float]:
    """The evaluation losses among metrics; `eval_loss` only where it does not repeat another."""
    found = {name: value for name, value in metrics.items() if name.startswith("eval_") and name.endswith("loss")}
    named = {name: value for name, value in found.items() if name != "eval_loss"}
    return named or found


def recorded(folder: Path, until: int) -> Curves:
    """The curves up to a step, as the tracker `jsonl` wrote them; none for a new run (step 0), or without its file."""
    curves: Curves = {}
    path = folder / "metrics.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines() if until and path.is_file() else []:
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        step = record.pop("step", until + 1)
        wanted = {"loss": record["loss"]} if "loss" in record else losses(record)
        for name, value in wanted.items():
            if step <= until and value is not None:
                curves.setdefault(name, {})[step] = value
    return curves
