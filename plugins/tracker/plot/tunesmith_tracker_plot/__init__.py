"""The curves of a run as a picture in its folder: losses, and rewards and accuracies where there are any."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from tunesmith import hookimpl, plugin
from tunesmith.types import Evaluated, Event, Problem, RunEnded, RunStarted, Saved, StepEnded

if TYPE_CHECKING:
    from tunesmith.planning import Plan

Curves = dict[str, dict[int, float]]
"""Name of a metric -> step -> value."""

PANELS = {
    "loss": ("loss",),
    "reward": ("reward", "rewards/chosen", "rewards/rejected", "rewards/margins"),
    "accuracy": ("accuracy", "rewards/accuracies"),
}
"""Title of a panel -> the metrics that it shows, of training and of evaluations."""


@plugin
class Plot:
    """Draws `loss.png`: losses over the steps, and beside them rewards and accuracies, of training and evaluations."""

    filename: str = "loss.png"  # in the run's folder; the ending chooses the format: png, svg, pdf
    smoothing: float = 0.9  # share of the past in the smoothed curves of training; 0 draws the raw ones only

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

    def _draw(self) -> None:
        if self._folder is not None:
            from .drawing import draw

            draw(self._curves, self._folder / self.filename, self.smoothing)


def parts(name: str) -> tuple[str, str] | None:
    """The metric that a logged name is about, and what it was measured on.

    Returns: `loss` → (loss, training), `loss_chats` → (loss, training chats), `eval_loss` → (loss, evaluation),
        `eval_held_loss` → (loss, evaluation held); None when no panel shows it.
    """
    metrics = [metric for panel in PANELS.values() for metric in panel]
    if name in metrics:
        return name, "training"
    if name.startswith("loss_"):  # of one of several training sets
        return "loss", f"training {name.removeprefix('loss_')}"
    rest = name.removeprefix("eval")
    found = (metric for metric in metrics if name.startswith("eval_") and rest.endswith(f"_{metric}"))
    return next(((metric, f"evaluation {rest[1 : -len(metric) - 1]}".rstrip()) for metric in found), None)


def shown(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics that a panel shows; that of all evaluations (`eval_loss`) only where it does not repeat another."""
    found = {name: split for name in metrics if (split := parts(name)) and metrics[name] is not None}
    named = {metric for metric, measured_on in found.values() if measured_on.startswith("evaluation ")}
    return {
        name: metrics[name]
        for name, (metric, measured_on) in found.items()
        if not (measured_on == "evaluation" and metric in named)
    }


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
        for name, value in shown(record).items() if step <= until else ():
            curves.setdefault(name, {})[step] = value
    return curves
