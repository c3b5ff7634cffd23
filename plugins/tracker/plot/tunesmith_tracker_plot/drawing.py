"""A picture of curves, without a display and without matplotlib's global state."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from tunesmith.files import replacing

from tunesmith_tracker_plot.curves import PANELS, Curves, parts

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def smoothed(values: Sequence[float], share: float) -> list[float]:
    """Exponential running average with bias correction: s_t = Σ share^(t-i) v_i / Σ share^(t-i).

    Args:
        values: a value that is not finite is skipped, its place takes the average so far.
        share: of the past, in [0, 1).
    """
    total = weight = 0.0
    averages = []
    for value in values:
        if math.isfinite(value):
            total, weight = share * total + value, share * weight + 1.0
        averages.append(total / weight if weight else math.nan)
    return averages


def draw(curves: Curves, path: Path, smoothing: float) -> None:
    """Draw the curves over steps, a panel for each kind of metric, and put the picture at `path` in one move."""
    filled = [title for title in PANELS if any(_panel(name) == title for name in curves)] or ["loss"]
    figure = Figure(figsize=(max(8, 5 * len(filled)), 5), layout="constrained")
    FigureCanvasAgg(figure)
    for number, title in enumerate(filled):
        axes = figure.add_subplot(1, len(filled), number + 1, xlabel="step", ylabel=title)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        _panel_of(axes, {name: points for name, points in curves.items() if _panel(name) == title}, smoothing)
    with replacing(path) as draft:
        figure.savefig(draft, dpi=120)


def _panel_of(axes: Axes, curves: Curves, smoothing: float) -> None:
    """The curves of one panel; where it shows several metrics, each has its colour in training and evaluations."""
    names = sorted(curves, key=_place)
    colours = list(dict.fromkeys(_short(name) or name for name in names))
    for name in names:
        _curve(axes, name, curves[name], f"C{colours.index(_short(name) or name) % 10}", smoothing)
    if names:
        axes.legend()


def _panel(name: str) -> str | None:
    found = parts(name)
    return next((title for title, metrics in PANELS.items() if found and found[0] in metrics), None)


def _place(name: str) -> tuple[bool, int, str]:
    """Training comes before evaluations, and metrics in the order of `PANELS`."""
    metrics = [metric for panel in PANELS.values() for metric in panel]
    return name.startswith("eval_"), metrics.index((parts(name) or ("loss", ""))[0]), name


def _short(name: str) -> str:
    """What tells a metric from others of its panel: chosen, rejected, margins; empty where there is only one."""
    metric = (parts(name) or (name, ""))[0]
    return "" if metric == "rewards/accuracies" else metric.partition("/")[2]


def _curve(axes: Axes, name: str, points: Mapping[int, float], colour: str, smoothing: float) -> None:
    """One metric: that of training raw and smoothed, that of an evaluation with a mark at each."""
    short, measured_on = _short(name), (parts(name) or (name, ""))[1]
    steps = sorted(points)
    values = [points[step] for step in steps]
    if name.startswith("eval_"):
        style: dict[str, Any] = {"marker": "o", "linestyle": "--" if short else "-"}
        axes.plot(steps, values, color=colour, label=_label(short, measured_on), **style)
    elif smoothing:
        axes.plot(steps, values, color=colour, alpha=0.35)
        axes.plot(steps, smoothed(values, smoothing), color=colour, label=_label(short, measured_on, "smoothed"))
    else:
        axes.plot(steps, values, color=colour, label=_label(short, measured_on))


def _label(*texts: str) -> str:
    return ", ".join(filter(None, texts))
