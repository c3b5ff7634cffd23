"""Long curves made short, and rough ones smooth."""

from __future__ import annotations

from array import array
from collections.abc import Sequence


def thinned(values: Sequence[float], start: int, end: int, points: int) -> list[int]:
    """The places of a curve's points that are kept: the lowest and the highest value of equal stretches.

    So no spike is lost, unlike with averages, or with largest-triangle-three-buckets where two are in one stretch.
    The first and the last point are always there.

    Args:
        start, end: the part of the values that is looked at, as of a slice.
        points: how many are kept at most, 4 at least.
    """
    count = end - start
    if count <= points:
        return list(range(start, end))
    buckets = (points - 2) // 2
    kept = {start, end - 1}
    for bucket in range(buckets):
        first = start + count * bucket // buckets
        stretch = values[first : start + count * (bucket + 1) // buckets]
        kept.add(first + stretch.index(min(stretch)))
        kept.add(first + stretch.index(max(stretch)))
    return sorted(kept)


def smoothed(values: Sequence[float], share: float) -> tuple[array[float], float, float]:
    """Exponential running average with bias correction, as TensorBoard's: s_t = Σ share^(t-i) v_i / Σ share^(t-i).

    Args:
        share: of the past, in [0, 1).

    Returns: the averages, and with the last one its numerator and denominator, with which further values go on.
    """
    averages = array("d", bytes(8 * len(values)))
    total = weight = 0.0
    for at, value in enumerate(values):
        total, weight = share * total + value, share * weight + 1.0
        averages[at] = total / weight
    return averages, total, weight
