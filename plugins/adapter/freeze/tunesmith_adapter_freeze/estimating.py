"""What training some layers costs; without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunesmith_library_estimates.activations import layer_of
from tunesmith_library_estimates.changes import Change
from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_estimates.training import is_of, trained_only
from tunesmith_library_weights.patterns import matches_any

if TYPE_CHECKING:
    from . import Freeze


def estimate_freeze(freeze: Freeze, estimate: Estimate) -> Estimate:
    """Train the last layers, or with a negative number the first ones, and what is named outside of them."""
    inside = {number for weight in estimate.weights if (number := _layer(weight)) is not None}
    count, asked = 1 + max(inside, default=-1), freeze.trainable_layers
    chosen = range(count)[-asked:] if asked > 0 else range(count)[:-asked]
    chosen = chosen if "language" in freeze.towers else range(0)
    tied = not any(weight.kind == "head" for weight in estimate.weights)
    towers = [part for part in freeze.towers if part != "language"]

    def trains(weight: Weight) -> bool:
        number = _layer(weight)
        if number is None:
            also_called = ["lm_head.weight"] if tied and weight.kind == "embedding" else []
            named = any(matches_any(name, freeze.extra_modules) for name in (weight.name, *also_called))
            return named or is_of(weight, towers)
        return number in chosen and (not freeze.trainable_modules or matches_any(weight.name, freeze.trainable_modules))

    made = trained_only(estimate, {weight.name: 32.0 for weight in estimate.weights if trains(weight)})
    fewer = asked // 2 if asked > 0 else -(-asked // 2)
    if abs(asked) < 2:
        return made
    return made.offering(Change((f"adapter.trainable_layers={fewer}",), "method", f"{abs(fewer)} layers are trained"))


def _layer(weight: Weight) -> int | None:
    """The number of the layer of the language model that a weight belongs to."""
    return layer_of(weight) if weight.stands_in == "language" else None
