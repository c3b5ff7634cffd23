"""A picture of curves, without a display and without matplotlib's global state."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator
from tunesmith.files import replacing

from tunesmith_library_plotting.panels import PANELS, Curves, Part, asked
from tunesmith_library_plotting.reading import Recorded

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Told apart by all kinds of eyes (Okabe and Ito 2008); without their yellow, which is faint on white."""

DASHES = ("-", "--", ":", "-.")
FORMATS = (".png", ".svg", ".pdf")
MOST_POINTS = 2000
"""Of a curve: more than a picture has columns."""

_COLUMNS = 3
_LABELS = {"step": "step", "tokens": "tokens", "epoch": "epoch"}


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


def thinned(places: Sequence[float], values: Sequence[float]) -> tuple[Any, Any]:
    """A curve with `MOST_POINTS` points at most, that has the lowest and the highest value of each stretch of it."""
    if len(values) <= MOST_POINTS:
        return places, values
    ys = np.asarray(values, dtype=float)
    bounds = np.linspace(0, len(ys), MOST_POINTS // 2 + 1).astype(int)
    filled = np.where(np.isfinite(ys), ys, ys[np.isfinite(ys)][0] if np.isfinite(ys).any() else 0.0)
    kept = {
        start + extreme
        for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
        for extreme in (int(filled[start:end].argmin()), int(filled[start:end].argmax()))
    }
    order = np.array(sorted(kept))
    return np.asarray(places, dtype=float)[order], ys[order]


def draw(runs: Sequence[Recorded], path: Path, smoothing: float, axis: str = "step") -> None:
    """Draw the curves of one run or several, a panel for each kind of metric, and put the picture in its place at once.

    Args:
        path: its ending is one of `FORMATS`.
        smoothing: share of the past in smoothed curves of training; 0 draws the raw ones only.
        axis: one of `reading.AXES`.
    """
    parts = {name: asked(name) for run in runs for name in run.curves}
    titles = _titles(parts) or ["loss"]
    columns = min(_COLUMNS, len(titles)) if len(titles) != 4 else 2
    rows = -(-len(titles) // columns)
    figure = Figure(figsize=(max(8.0, 5.0 * columns), 4.0 * rows + 1), layout="constrained")
    FigureCanvasAgg(figure)
    places = [_places(run, axis) for run in runs]
    label, scale = _axis(axis, places)
    for number, title in enumerate(titles):
        axes = figure.add_subplot(rows, columns, number + 1, xlabel=label, ylabel=title)
        axes.grid(alpha=0.3)
        if axis == "step":
            axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        elif axis == "tokens":
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.ticklabel_format(axis="y", scilimits=(-3, 5))
        drawn = [
            ({name: points for name, points in run.curves.items() if parts[name].panel == title}, place)
            for run, place in zip(runs, places, strict=True)
        ]
        _panel(axes, drawn, parts, smoothing, scale)
    if len(runs) > 1:
        handles = [Line2D([], [], color=_colour(place), label=run.name) for place, run in enumerate(runs)]
        figure.legend(handles=handles, loc="outside upper center", ncols=min(len(runs), 2 * columns), frameon=False)
    with replacing(path) as draft:
        figure.savefig(draft, dpi=120)


def _titles(parts: Mapping[str, Part]) -> list[str]:
    """The panels that have a curve: those of `PANELS` in their order, then others."""
    found = list(dict.fromkeys(part.panel for part in parts.values()))
    return [title for title in PANELS if title in found] + [title for title in found if title not in PANELS]


def _places(run: Recorded, axis: str) -> Mapping[int, float] | None:
    """Where each logged step is; None where it is at its own number."""
    return None if axis == "step" else run.places.get(axis, {})


def _axis(axis: str, places: Sequence[Mapping[int, float] | None]) -> tuple[str, float]:
    """The label of an axis, and what its numbers are divided by."""
    if axis != "time":
        return _LABELS[axis], 1.0
    longest = max((max(place.values(), default=0.0) for place in places if place), default=0.0)
    return ("hours", 3600.0) if longest > 7200 else ("minutes", 60.0)


def _panel(
    axes: Axes,
    runs: Sequence[tuple[Curves, Mapping[int, float] | None]],
    parts: Mapping[str, Part],
    smoothing: float,
    scale: float = 1.0,
) -> None:
    """The curves of one panel.

    Colours tell runs apart, or, of a single run, the metrics: each has the same in training and evaluations.
    """
    names = sorted({name for curves, _ in runs for name in curves}, key=lambda name: parts[name].place)
    kinds = list(dict.fromkeys(parts[name].short or parts[name].measured_on for name in names))
    several = len(runs) > 1
    for name in names:
        kind = kinds.index(parts[name].short or parts[name].measured_on)
        for run, (curves, places) in enumerate(runs):
            if name in curves:
                points = _points(curves[name], places, scale)
                dash = DASHES[kind % len(DASHES)] if several else "--" if _dashed(parts[name]) else "-"
                _curve(axes, parts[name], points, smoothing, _colour(run if several else kind), dash)
    if several:
        dashes = [DASHES[kinds.index(parts[name].short or parts[name].measured_on) % len(DASHES)] for name in names]
        handles = [_sample(parts[name], dash) for name, dash in zip(names, dashes, strict=True)]
        if len(handles) > 1:
            axes.legend(handles=handles, fontsize="small")
    elif names:
        axes.legend(fontsize="small")


def _points(
    curve: Mapping[int, float], places: Mapping[int, float] | None, scale: float
) -> tuple[list[float], list[float]]:
    """A curve's places and values; a step of which the axis knows nothing is at the place of the last one before."""
    steps = sorted(curve)
    if places is None:
        return [float(step) for step in steps], [curve[step] for step in steps]
    known = sorted(places)
    found = np.searchsorted(known, steps, side="right") - 1
    there = [
        (places[known[at]] / scale, curve[step]) for at, step in zip(found.tolist(), steps, strict=True) if at >= 0
    ]
    return [place for place, _ in there], [value for _, value in there]


def _curve(
    axes: Axes, part: Part, points: tuple[list[float], list[float]], smoothing: float, colour: str, dash: str
) -> None:
    """One metric: that of training raw and smoothed, that of an evaluation with a mark at each."""
    places, values = points
    style: dict[str, Any] = {"color": colour, "linestyle": dash}
    if part.is_evaluation:
        axes.plot(places, values, marker="o", markersize=4, label=_label(part), **style)
    elif smoothing and part.metric != "learning_rate":
        axes.plot(*thinned(places, values), alpha=0.3, linewidth=0.8, **style)
        axes.plot(*thinned(places, smoothed(values, smoothing)), label=_label(part, "smoothed"), **style)
    else:
        axes.plot(*thinned(places, values), label=_label(part), **style)


def _dashed(part: Part) -> bool:
    return part.is_evaluation and bool(part.short)


def _sample(part: Part, dash: str) -> Line2D:
    """What stands for a metric of all runs in a legend."""
    style: dict[str, Any] = {"color": "0.4", "linestyle": dash, "marker": "o" if part.is_evaluation else ""}
    return Line2D([], [], label=_label(part), **style)


def _label(part: Part, *more: str) -> str:
    return ", ".join(filter(None, (part.short, part.measured_on, *more)))


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]
