"""Numbers over examples, and how sure they are: standard errors in closed form where there is one, else by drawing."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from tunesmith_library_evaluating.evaluation import Measured

T = TypeVar("T")


def mean(values: Sequence[float], *, greater_is_better: bool = True) -> Measured:
    """The mean of one number for each example, with s / √n, s with n - 1 degrees of freedom; None for one example.

    Raises: ValueError for no values.
    """
    return clustered(values, range(len(values)), greater_is_better=greater_is_better)


def clustered(values: Sequence[float], clusters: Sequence[Hashable], *, greater_is_better: bool = True) -> Measured:
    """The mean of numbers that hang together in clusters, such as several answers to one question.

    The standard error is that of Miller 2024 (arXiv 2411.00640, equation 4), times √(C / (C - 1)) for C clusters, with
    which it is that of `mean` where each value is a cluster of its own. `count` is C.

    Args:
        clusters: of which cluster each value is.

    Raises: ValueError for no values.
    """
    if not values:
        raise ValueError("there is nothing to take the mean of")
    value = math.fsum(values) / len(values)
    sums: dict[Hashable, float] = defaultdict(float)
    for number, cluster in zip(values, clusters, strict=True):
        sums[cluster] += number - value
    count, error = len(sums), None
    if count > 1:
        error = math.sqrt(count / (count - 1) * math.fsum(it * it for it in sums.values())) / len(values)
    return Measured(value, error, count, greater_is_better)


def bootstrap(
    records: Sequence[T],
    statistic: Callable[[Sequence[T]], float],
    *,
    samples: int = 1000,
    seed: int = 0,
    greater_is_better: bool = True,
) -> Measured:
    """A number of a whole set that is no mean, such as BLEU: its standard error is that over drawn sets of its size.

    Efron 1979: `samples` sets are drawn with replacement, and the standard deviation of their numbers is taken.

    Raises: ValueError for no records.
    """
    if not records:
        raise ValueError("there is nothing to measure")
    value = float(statistic(records))
    if len(records) < 2:
        return Measured(value, None, len(records), greater_is_better)
    draws = random.Random(seed)
    drawn = [float(statistic(draws.choices(records, k=len(records)))) for _ in range(samples)]
    centre = math.fsum(drawn) / samples
    error = math.sqrt(math.fsum((it - centre) ** 2 for it in drawn) / (samples - 1))
    return Measured(value, error, len(records), greater_is_better)
