"""A picture of loss curves, without a display and without matplotlib's global state."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from tunesmith.files import replacing


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


def draw(curves: Mapping[str, Mapping[int, float]], path: Path, smoothing: float) -> None:
    """Draw training and evaluation losses over steps, and put the picture at `path` in one move."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xlabel="step", ylabel="loss")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    for number, (name, points) in enumerate(sorted(curves.items(), key=lambda item: item[0] != "loss")):
        steps = sorted(points)
        values = [points[step] for step in steps]
        colour = f"C{number % 10}"
        if name == "loss":
            raw = {"alpha": 0.35} if smoothing else {"label": "training"}
            axes.plot(steps, values, color=colour, **raw)
            if smoothing:
                axes.plot(steps, smoothed(values, smoothing), color=colour, label="training, smoothed")
        else:
            label = name.removeprefix("eval_").removesuffix("loss").strip("_")
            axes.plot(steps, values, color=colour, marker="o", label=f"evaluation {label}".strip())
    if curves:
        axes.legend()
    with replacing(path) as draft:
        figure.savefig(draft, dpi=120)
