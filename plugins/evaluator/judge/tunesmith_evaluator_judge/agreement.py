"""How far two raters agree: the share of equal ratings, and Cohen's kappa, which takes off what chance gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

Rating = TypeVar("Rating", bound=Hashable)


def kappa(pairs: Sequence[tuple[Rating, Rating]]) -> float:
    """Cohen 1960: (p - e) / (1 - e), p the share of equal ratings and e that of raters who draw theirs at random.

    Where both give one and the same rating always, it is 1.
    """
    return _beside_chance(pairs, lambda one, other: float(one != other))


def quadratic_kappa(pairs: Sequence[tuple[float, float]]) -> float:
    """Cohen 1968: 1 - (mean square of the differences) / (that of raters who draw theirs at random)."""
    return _beside_chance(pairs, lambda one, other: (one - other) ** 2)


def _beside_chance(pairs: Sequence[tuple[Rating, Rating]], distance: Callable[[Rating, Rating], float]) -> float:
    first, second = (Counter(pair[side] for pair in pairs) for side in (0, 1))
    observed = sum(distance(one, other) for one, other in pairs) / len(pairs)
    by_chance = (
        sum(distance(one, other) * here * there for one, here in first.items() for other, there in second.items())
        / len(pairs) ** 2
    )
    return 1 - observed / by_chance if by_chance else 1.0
