"""What training some layers costs; without torch."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith_library_estimates.activations import layer_of
from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_estimates.training import trained_only
from tunesmith_library_weights.patterns import matches_any


def estimate_freeze(
    estimate: Estimate, trainable_layers: int, trainable_modules: Sequence[str], extra_modules: Sequence[str]
) -> Estimate:
    """Train the last layers, or with a negative number the first ones, and what is named outside of them."""
    count = 1 + max((number for weight in estimate.weights if (number := layer_of(weight)) is not None), default=-1)
    chosen = range(count)[-trainable_layers:] if trainable_layers > 0 else range(count)[:-trainable_layers]
    tied = not any(weight.kind == "head" for weight in estimate.weights)

    def trains(weight: Weight) -> bool:
        number = layer_of(weight)
        if number is None:
            also_called = ["lm_head.weight"] if tied and weight.kind == "embedding" else []
            return any(matches_any(name, extra_modules) for name in (weight.name, *also_called))
        return number in chosen and (not trainable_modules or matches_any(weight.name, trainable_modules))

    return trained_only(estimate, {weight.name: 32.0 for weight in estimate.weights if trains(weight)})
