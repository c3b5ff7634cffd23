"""Numbers of expected and given labels: accuracy, F1, precision, recall, each with its standard error.

A class's precision, recall and F1, and micro F1, are ratios of sums over the examples, whose standard errors are known
(Cochran 1977, *Sampling Techniques*, section 2.11); means over classes are drawn.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from tunesmith_library_evaluating import Measured
from tunesmith_library_evaluating.statistics import bootstrap, mean

Pairs = Sequence[tuple[str, str | None]]
"""The expected label of each example, and the given one; None where the answer was no label."""


def measured(pairs: Pairs) -> dict[str, Measured]:
    """All numbers of a data set; of classes those that are expected or given in it, as scikit-learn does."""
    labels = sorted({label for pair in pairs for label in pair if label is not None})
    right = [float(expected == given) for expected, given in pairs]
    given = [float(label is not None) for _, label in pairs]
    macro, weighted = _averages(pairs, labels)
    found = {
        "accuracy": mean(right),
        "micro_f1": ratio([2 * it for it in right], [1 + it for it in given]),
        "macro_f1": macro,
        "weighted_f1": weighted,
        "unlabelled": mean([1 - it for it in given], greater_is_better=False),
    }
    for label in labels:
        found |= _of_class(pairs, label)
    return found


def _of_class(pairs: Pairs, label: str) -> dict[str, Measured]:
    both = [float(expected == label == given) for expected, given in pairs]
    expected = [float(pair[0] == label) for pair in pairs]
    given = [float(pair[1] == label) for pair in pairs]
    return {
        f"f1_{label}": ratio(
            [2 * it for it in both], [one + other for one, other in zip(expected, given, strict=True)]
        ),
        f"precision_{label}": ratio(both, given),
        f"recall_{label}": ratio(both, expected),
    }


def ratio(above: Sequence[float], below: Sequence[float]) -> Measured:
    """Σ aᵢ / Σ bᵢ over n examples, of standard error √(n / (n - 1) Σ (aᵢ - R bᵢ)²) / Σ bᵢ; 0 where Σ bᵢ is 0."""
    total, count = math.fsum(below), len(below)
    if not total:
        return Measured(0.0, None, 0)
    value = math.fsum(above) / total
    if count < 2:
        return Measured(value, None, count)
    squares = math.fsum((a - value * b) ** 2 for a, b in zip(above, below, strict=True))
    return Measured(value, math.sqrt(count / (count - 1) * squares) / total, count)


def _averages(pairs: Pairs, labels: Sequence[str]) -> tuple[Measured, Measured]:
    """The mean of the classes' F1, and that weighted by how often each is expected."""
    size, places = len(labels), {label: place for place, label in enumerate(labels)}
    codes = np.array([places[expected] * (size + 1) + places.get(str(given), size) for expected, given in pairs])

    def scores(rows: Sequence[int]) -> tuple[Any, Any]:
        matrix = np.bincount(codes[list(rows)], minlength=size * (size + 1)).reshape(size, size + 1)
        expected, given = matrix.sum(1), matrix[:, :size].sum(0)
        return 2 * matrix.diagonal() / np.maximum(1, expected + given), expected

    def weighted(rows: Sequence[int]) -> float:
        f1, expected = scores(rows)
        return float(f1 @ expected / expected.sum())

    every = range(len(pairs))
    return bootstrap(every, lambda rows: float(scores(rows)[0].mean())), bootstrap(every, weighted)


def confusion(pairs: Pairs) -> dict[str, dict[str, int]]:
    """How often each label was given where another, or the same, was expected; "" where the answer was none."""
    table: dict[str, Counter[str]] = {}
    for expected, given in pairs:
        table.setdefault(expected, Counter())[given or ""] += 1
    return {expected: dict(sorted(row.items())) for expected, row in sorted(table.items())}
