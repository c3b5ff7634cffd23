"""What a run has logged so far, as far back as its rules look, and robust statistics of it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

OPENING = 4
"""Values of each metric that stay known as those it began with."""


def deviation(values: Sequence[float]) -> float:
    """The standard deviation of normal values, by the median of their distances from the median: 1.4826 MAD."""
    middle = median(values)
    return 1.4826 * median(abs(value - middle) for value in values)


@dataclass(frozen=True)
class Facts:
    """What is known of a run before its first step."""

    generates: bool = False  # it learns from its own answers, so that its loss is no measure of how good it is
    masks: bool = False  # prompts are not trained
    moves: bool = False  # its learning rate is another one after each step
    total_steps: int = 0


@dataclass(frozen=True)
class Evaluation:
    """A loss that was measured, and that of training at that time."""

    step: int
    loss: float
    trained: float


class History:
    """The metrics of logged steps and evaluations.

    Args:
        window: logged steps that are kept.
    """

    def __init__(self, window: int, facts: Facts = Facts()) -> None:
        self.facts = facts
        self.step = 0  # the last one that was logged
        self.logged: deque[Mapping[str, float]] = deque(maxlen=window)  # oldest first
        self.opening: dict[str, list[float]] = {}  # the first finite values by metric
        self.evaluations: dict[str, list[Evaluation]] = {}  # by the name of the loss: the best and those after it

    def add(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take note of a logged step."""
        self.step = step
        self.logged.append(metrics)
        for name in ("loss", "grad_norm", "entropy"):
            value, first = metrics.get(name), self.opening.setdefault(name, [])
            if len(first) < OPENING and value is not None and math.isfinite(value):
                first.append(value)

    def add_evaluation(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take note of the losses of an evaluation, for which training must have begun."""
        recent = self.values("loss")[-OPENING:]
        for name, value in metrics.items() if recent else ():
            if name.startswith("eval_") and name.endswith("loss") and math.isfinite(value):
                measured = Evaluation(step, value, median(recent))
                known = self.evaluations.setdefault(name, [])
                if known and value <= known[0].loss:
                    known.clear()
                known.append(measured)

    def values(self, name: str) -> list[float]:
        """The finite values of a metric within the window, oldest first."""
        found = (metrics.get(name) for metrics in self.logged)
        return [value for value in found if value is not None and math.isfinite(value)]

    def lately(self, name: str, count: int) -> list[float]:
        """The values of a metric at the last logged steps; [] where one of them has none."""
        last = list(self.logged)[-count:]
        found = [metrics[name] for metrics in last if name in metrics]
        return found if len(found) == count else []

    def always(self, count: int, prefix: str) -> list[str]:
        """The metrics with a prefix that all of the last logged steps have, in the order of the last one."""
        last = list(self.logged)[-count:]
        if len(last) < count:
            return []
        return [name for name in last[-1] if name.startswith(prefix) and all(name in metrics for metrics in last)]


def all_above(values: Iterable[float], bound: float) -> bool:
    """Whether there are values, and each of them is a bound at least."""
    found = list(values)
    return bool(found) and min(found) >= bound
