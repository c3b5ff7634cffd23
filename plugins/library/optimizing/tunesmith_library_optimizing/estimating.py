"""What optimizers that project gradients to a low rank cost; without torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from tunesmith_library_estimates.estimation import Estimate, Memory, Weight
from tunesmith_library_estimates.training import optimizer_bytes
from tunesmith_library_weights.patterns import matches_any


def estimate_low_rank(
    estimate: Estimate,
    *,
    target_modules: Sequence[str] | str,
    rank: int,
    layerwise: bool,
    numbers: Callable[[int, int], float],
) -> Estimate:
    """Add the states of `groups.low_rank_optimizer`: of projected matrices what is said here, of others Adam's.

    Args:
        layerwise: each gradient is used up within the backward pass, so that the largest is all there is at a time.
        numbers: how many the state of a projected matrix has, by its rows and columns.
    """
    patterns = [target_modules] if isinstance(target_modules, str) else list(target_modules)

    def is_projected(weight: Weight) -> bool:
        if weight.kind not in ("linear", "head", "experts") or min(weight.shape[-2:]) <= rank:
            return False
        chosen = weight.kind != "head" if patterns == ["all"] else False
        return chosen or matches_any(weight.name.removesuffix(".weight"), patterns)

    def state(weight: Weight) -> float:
        *experts, rows, columns = weight.shape if is_projected(weight) else (0, 0)
        count = prod(experts) * numbers(rows, columns) if is_projected(weight) else 2 * weight.count
        return count * weight.bits / 8

    own = {weight.name for weight in estimate.weights if weight.trained and is_projected(weight)}
    made = optimizer_bytes(estimate, state).updating(f"optimizer, gradients projected to rank {rank}", own)
    if not layerwise:
        return made
    largest = max((weight.bytes for weight in estimate.weights if weight.trained), default=0.0)
    return made.plus("gradients", Memory(largest, phases=("backward",), of="gradients"))
