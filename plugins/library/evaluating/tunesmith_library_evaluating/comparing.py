"""Two evaluations compared, example by example: what is better, what is worse, and what chance may have done.

A metric that is the mean of its records' numbers is compared by a paired bootstrap (Efron & Tibshirani 1993, chapters
13 and 16; Koehn 2004): the examples are drawn with replacement, the same for both. Another one is compared by the two
standard errors, as if the examples were not the same, which finds less.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tunesmith_library_evaluating.evaluation import Evaluation, Measured

Place = tuple[str, int]  # data set and index of an example
Pair = tuple[Mapping[str, Any], Mapping[str, Any]]

_SAMPLES = 10_000  # of the bootstrap
_AT_A_TIME = 2**22  # numbers that are drawn at a time
_NORMAL = 1.959963984540054  # of a 95 % interval


@dataclass(frozen=True)
class Difference:
    """One metric of two evaluations."""

    part: str  # the data set, or another part
    metric: str
    first: Measured
    second: Measured
    interval: tuple[float, float] | None  # 95 %, of second - first; None where nothing is known of it
    p_value: float | None  # of so great a difference, to either side, if there were none; None: not known
    paired: bool  # whether by pairs of records
    changed: tuple[Pair, ...] = ()  # the pairs of which the numbers differ, the best change first
    pairs: int = 0

    @property
    def value(self) -> float:
        return self.second.value - self.first.value

    @property
    def better(self) -> tuple[Pair, ...]:
        """Pairs of which the second is better, the greatest change first."""
        return tuple(pair for pair in self.changed if self._gain(pair) > 0)

    @property
    def worse(self) -> tuple[Pair, ...]:
        """Pairs of which the second is worse, the greatest change first."""
        return tuple(pair for pair in reversed(self.changed) if self._gain(pair) < 0)

    def _gain(self, pair: Pair) -> float:
        gain = float(pair[1][self.metric]) - float(pair[0][self.metric])
        return gain if self.second.greater_is_better else -gain


@dataclass(frozen=True)
class Comparison:
    """What became of the numbers of one evaluator."""

    differences: Sequence[Difference]
    settings: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)  # what differs beside the model
    pairs: int = 0
    only_first: int = 0  # records without one of the same data set and index in the other
    only_second: int = 0
    other: int = 0  # records of the same place that are of other examples


def compare(first: Evaluation, second: Evaluation, *, samples: int = _SAMPLES, seed: int = 0) -> Comparison:
    """Compare the metrics that both have; a record has one of the same data set and index in the other.

    Args:
        samples: of the bootstrap.
    """
    settings = {
        name: (first.settings.get(name), second.settings.get(name))
        for name in dict.fromkeys((*first.settings, *second.settings))
        if first.settings.get(name) != second.settings.get(name)
    }
    mine, theirs = ({_place(record): record for record in each.records} for each in (first, second))
    asked = ("answer",) if settings else ("answer", "prompt")  # another setting may ask in another way
    both = [(record, theirs[place]) for place, record in mine.items() if place in theirs]
    pairs = [pair for pair in both if all(pair[0].get(name) == pair[1].get(name) for name in asked)]
    differences = [
        _difference(part, name, number, second.metrics[part][name], pairs, samples, seed)
        for part, numbers in first.metrics.items()
        for name, number in numbers.items()
        if name in second.metrics.get(part, {})
    ]
    lone = len(mine) - len(both), len(theirs) - len(both)
    return Comparison(differences, settings, len(pairs), *lone, other=len(both) - len(pairs))


def _place(record: Mapping[str, Any]) -> Place:
    return str(record["dataset"]), int(record["index"])


def _difference(
    part: str, metric: str, first: Measured, second: Measured, pairs: Sequence[Pair], samples: int, seed: int
) -> Difference:
    of_part = [pair for pair in pairs if all(_counts(record, part, metric) for record in pair)]
    sides = [_numbers([pair[side] for pair in of_part], metric) for side in (0, 1)]
    means = [_mean(*numbers) for numbers in sides]
    if len(of_part) < 2 or not (_same(means[0], first.value) and _same(means[1], second.value)):
        return _by_errors(part, metric, first, second)
    interval, p_value = paired_bootstrap(*sides[0], *sides[1], samples=samples, seed=seed)
    sign = 1 if second.greater_is_better else -1
    changed = [pair for pair in of_part if pair[0][metric] != pair[1][metric]]
    changed.sort(key=lambda pair: -sign * (pair[1][metric] - pair[0][metric]))
    return Difference(part, metric, first, second, interval, p_value, True, tuple(changed), len(of_part))


def _counts(record: Mapping[str, Any], part: str, metric: str) -> bool:
    """Whether a record counts for a metric of a part."""
    return isinstance(record.get(metric), int | float) and (
        record["dataset"] == part or part in record.get("parts", ())
    )


def _numbers(records: Sequence[Mapping[str, Any]], metric: str) -> tuple[list[float], list[float]]:
    """The numbers of records, and their weights."""
    return [float(record[metric]) for record in records], [float(record.get("weight", 1.0)) for record in records]


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    total = math.fsum(weights)
    return (
        math.fsum(value * weight for value, weight in zip(values, weights, strict=True)) / total if total else math.nan
    )


def _same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9)


def _by_errors(part: str, metric: str, first: Measured, second: Measured) -> Difference:
    """A difference by the normal distribution, of two numbers that are not of the same examples.

    An error of 0 comes of few examples that are alike, and says nothing of others: it makes nothing certain.
    """
    if not first.standard_error or not second.standard_error:
        return Difference(part, metric, first, second, None, None, False)
    error, value = math.hypot(first.standard_error, second.standard_error), second.value - first.value
    p_value = math.erfc(abs(value) / error / math.sqrt(2))
    interval = value - _NORMAL * error, value + _NORMAL * error
    return Difference(part, metric, first, second, interval, p_value, False)


def paired_bootstrap(
    first: Sequence[float],
    first_weights: Sequence[float],
    second: Sequence[float],
    second_weights: Sequence[float],
    *,
    samples: int = _SAMPLES,
    seed: int = 0,
) -> tuple[tuple[float, float], float]:
    """The difference of two weighted means over the same examples: its 95 % interval, and a p-value.

    Returns: the percentiles 2.5 and 97.5 of second - first, and the share of draws that are as far from it as it is
        from zero, (1 + hits) / (1 + samples).
    """
    import numpy as np

    columns = np.array([first, first_weights, second, second_weights], dtype=np.float64)
    columns[0] *= columns[1]
    columns[2] *= columns[3]
    count, draws = columns.shape[1], np.random.default_rng(seed)

    def difference(sums: Any) -> Any:
        return sums[2] / sums[3] - sums[0] / sums[1]

    found = []
    for start in range(0, samples, step := max(_AT_A_TIME // count, 1)):
        size = min(step, samples - start)
        times = draws.multinomial(count, np.full(count, 1 / count), size=size)
        found.append(difference(columns @ times.T))
    drawn, value = np.concatenate(found), difference(columns.sum(axis=1))
    low, high = np.quantile(drawn, (0.025, 0.975))
    hits = int((np.abs(drawn - value) >= abs(value) * (1 - 1e-12)).sum())
    return (float(low), float(high)), (1 + hits) / (1 + samples)
