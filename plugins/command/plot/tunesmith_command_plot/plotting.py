"""From runs to a picture of what was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tunesmith import TunesmithError, announce
from tunesmith.errors import choices
from tunesmith_library_plotting.drawing import FORMATS, draw
from tunesmith_library_plotting.panels import Curves, asked, part
from tunesmith_library_plotting.reading import Recorded, read

MOST_PANELS = 12
"""Of a picture that nobody chose the metrics of."""


def plotted(runs: Sequence[str], output: str | None, metrics: Sequence[str], smoothing: float, axis: str) -> Path:
    """Draw runs into one figure.

    Args:
        output: of the picture; None is `curves.png` in the folder of the first run.
        metrics: names as they are logged, or of panels, such as `loss`; none for all that are known.
        axis: one of `reading.AXES`.

    Returns: the picture.
    Raises: TunesmithError for a run without metrics, for what none of the runs has, and for another format.
    """
    folders = [Path(run) for run in runs]
    path = Path(output) if output else (folders[0] if folders[0].is_dir() else folders[0].parent) / "curves.png"
    if path.suffix.lower() not in FORMATS:
        raise TunesmithError(f"{path} names no format.\n  end it with {', '.join(FORMATS)}")
    read_runs = [read(folder) for folder in folders]
    lacking = [run.name for run in read_runs if axis != "step" and not run.places.get(axis)]
    if lacking:
        raise TunesmithError(f"{', '.join(lacking)}: the {axis} of steps is not logged.\n  draw over --x step")
    chosen = _chosen(read_runs, metrics) if metrics else _known(read_runs)
    path.parent.mkdir(parents=True, exist_ok=True)
    draw([replace(run, name=name) for run, name in zip(chosen, _names(folders), strict=True)], path, smoothing, axis)
    return path


def _chosen(runs: Sequence[Recorded], metrics: Sequence[str]) -> list[Recorded]:
    """The curves that were asked for: a name as it is logged, or a metric in training and evaluations."""
    every = [{**run.others, **run.curves} for run in runs]
    names = {name for curves in every for name in curves}
    missing = [metric for metric in metrics if not any(_is_of(name, metric) for name in names)]
    if missing:
        raise TunesmithError(f"{missing[0]} is logged by none of these runs.\n  {choices(missing[0], sorted(names))}")
    return [
        replace(run, curves={n: points for n, points in curves.items() if _is_asked(n, run, metrics)})
        for run, curves in zip(runs, every, strict=True)
    ]


def _is_asked(name: str, run: Recorded, metrics: Sequence[str]) -> bool:
    """Whether a curve is drawn: one that repeats another, as `eval_loss` that of the only set, only by its own name."""
    repeats = part(name) is not None and name not in run.curves
    return name in metrics or (not repeats and any(_is_of(name, each) for each in metrics))


def _is_of(name: str, metric: str) -> bool:
    found = asked(name)
    return metric in (name, found.metric, found.panel)


def _known(runs: Sequence[Recorded]) -> list[Recorded]:
    """The curves that have a panel; of more panels than a picture takes the first ones, which is said."""
    panels = list(dict.fromkeys(asked(name).panel for run in runs for name in run.curves))
    if len(panels) > MOST_PANELS:
        announce("panels", f"{MOST_PANELS} of {len(panels)}", "--metrics chooses others")
    kept = set(panels[:MOST_PANELS])

    def those(curves: Curves) -> Curves:
        return {name: points for name, points in curves.items() if asked(name).panel in kept}

    return [replace(run, curves=those(run.curves)) for run in runs]


def _names(folders: Sequence[Path]) -> list[str]:
    """What tells runs apart: their folders' names, with as many of those above as it takes."""
    whole = [(path if path.is_dir() else path.parent).resolve() for path in folders]
    depth = 1
    while len({path.parts[-depth:] for path in whole}) < len(set(whole)):
        depth += 1
    return ["/".join(path.parts[-depth:]) for path in whole]
