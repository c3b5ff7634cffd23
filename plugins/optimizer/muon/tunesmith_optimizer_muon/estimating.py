"""What Muon remembers, and what its update needs beside that; without torch."""

from __future__ import annotations

from math import prod

from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_estimates.training import beside_adam, in_turn, optimizer_bytes


def estimate_muon(estimate: Estimate) -> Estimate:
    """One moment of each hidden matrix, two of every other weight."""
    trained = [weight for weight in estimate.weights if weight.trained]
    own = {weight.name for weight in trained if _is_hidden(weight)}
    hidden, others = ([item for item in trained if (item.name in own) == is_own] for is_own in (True, False))
    beside = max(in_turn(hidden, _orthogonal, lambda weight: 2.0 * weight.count), beside_adam(estimate, others))
    made = optimizer_bytes(estimate, lambda weight: (1 if weight.name in own else 2) * weight.bytes, beside)
    return made.updating("optimizer, muon", own)


def _is_hidden(weight: Weight) -> bool:
    beside = ".lora_" in weight.name and len(weight.shape) == 2
    return weight.kind in ("linear", "experts") or beside


def _orthogonal(weight: Weight) -> float:
    """Bytes of an update: the momentum looked ahead at, and in bfloat16 a matrix, the next one, and two products."""
    *experts, rows, columns = weight.shape
    products = prod(experts) * min(rows, columns) ** 2
    rounded = 2 if weight.bits > 16 else 1  # a momentum in bfloat16 is the first matrix itself
    return weight.bytes + 2.0 * (rounded * weight.count + 2 * products)
