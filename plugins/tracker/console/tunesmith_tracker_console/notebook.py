"""Training progress in a notebook: one output that changes, with a bar, the last metrics and the curve of the loss."""

from __future__ import annotations

import html
import importlib
import math
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

_EVERY = 0.5  # seconds between two drawings
_WIDTH, _HEIGHT = 480, 120  # of the curve, in pixels
_POINTS = 240  # of a curve; of more every second one is left out, again and again


def in_notebook() -> bool:
    """Whether a kernel of Jupyter runs this code, whose outputs can change; nothing is imported to know it."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return hasattr(shell, "kernel")


class Board:
    """What a notebook shows of a run while it goes on.

    Args:
        total: steps of the run.
        start: steps that were done before.
    """

    def __init__(self, total: int, start: int = 0) -> None:
        self.total, self.step, self._start = total, start, start
        self.lines: list[str] = []  # what stays: evaluations, checkpoints, the end
        self._shown: dict[str, str] = {}
        self._curve: list[tuple[int, float]] = []
        self._every = 1  # of so many losses one is kept
        self._losses = 0
        self._began, self._drawn = time.monotonic(), -math.inf
        self._handle: Any = None

    def advance(self, step: int, metrics: Mapping[str, float], shown: Mapping[str, str]) -> None:
        """Take what a step brought; it is drawn twice a second."""
        self.step = step
        self._shown = dict(shown) or self._shown
        if math.isfinite(loss := metrics.get("loss", math.nan)):
            self._add(step, loss)
        if time.monotonic() - self._drawn >= _EVERY:
            self.draw()

    def say(self, line: str) -> None:
        """Add a line that stays."""
        self.lines.append(line)
        self.draw()

    def draw(self) -> None:
        """Show how it stands, in place of what was shown."""
        display = importlib.import_module("IPython.display").display  # it is there, where `in_notebook` says so
        self._drawn = time.monotonic()
        bundle = {"text/html": self.html(), "text/plain": self.text()}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)

    def text(self) -> str:
        """The same in plain text, for what shows no HTML."""
        metrics = "  ".join(f"{name} {value}" for name, value in self._shown.items())
        return "\n".join([f"step {self.step}/{self.total}  {metrics}".rstrip(), *self.lines])

    def html(self) -> str:
        """A bar, a table, the curve, and the lines."""
        about = f"{self.step:,} of {self.total:,} steps{self._left()}"
        bar = f'<progress max="{self.total}" value="{self.step}" style="width: {_WIDTH}px"></progress>'
        heads = "".join(f"<th>{html.escape(name)}</th>" for name in self._shown)
        cells = "".join(f"<td>{html.escape(value)}</td>" for value in self._shown.values())
        table = f"<table><tr>{heads}</tr><tr>{cells}</tr></table>" if self._shown else ""
        said = html.escape("\n".join(self.lines))
        lines = f"<pre>{said}</pre>" if said else ""
        return f"<div>{bar} {about}{table}{curve(self._curve)}{lines}</div>"

    def _add(self, step: int, loss: float) -> None:
        self._losses += 1
        if self._losses % self._every == 0:
            self._curve.append((step, loss))
        if len(self._curve) > _POINTS:
            self._curve, self._every = self._curve[1::2], 2 * self._every

    def _left(self) -> str:
        done = self.step - self._start
        if not done or self.step >= self.total:
            return ""
        seconds = (time.monotonic() - self._began) / done * (self.total - self.step)
        return f", {seconds / 60:.0f} min left" if seconds >= 90 else f", {seconds:.0f} s left"


def curve(points: Sequence[tuple[int, float]]) -> str:
    """A curve of values by steps as SVG, with its ends in words; "" of less than two points."""
    if len(points) < 2:
        return ""
    low, high = min(value for _, value in points), max(value for _, value in points)
    first, last = points[0][0], points[-1][0]
    places = " ".join(
        f"{(step - first) / (last - first) * _WIDTH:.1f},{(high - value) / ((high - low) or 1) * _HEIGHT:.1f}"
        for step, value in points
    )
    line = f'<polyline points="{places}" fill="none" stroke="#1f77b4" stroke-width="1.5"/>'
    words = f"loss {points[0][1]:.4f} at step {first:,}, {points[-1][1]:.4f} at step {last:,}; lowest {low:.4f}"
    size = f'width="{_WIDTH}" height="{_HEIGHT}" viewBox="-2 -2 {_WIDTH + 4} {_HEIGHT + 4}"'
    return f'<svg {size} role="img" aria-label="{words}">{line}</svg><div><small>{words}</small></div>'
