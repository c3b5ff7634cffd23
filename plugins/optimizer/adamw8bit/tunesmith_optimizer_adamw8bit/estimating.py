"""What moments in 8 bits take; without torch."""

from __future__ import annotations

import math
from dataclasses import replace

from tunesmith_library_estimates.changes import Change
from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_estimates.training import in_turn, optimizer_bytes

_BLOCK = 256  # numbers of a moment that share a scale


def estimate_moments(estimate: Estimate, min_8bit_size: int, embeddings_in_32_bit: bool, paged: bool) -> Estimate:
    """Two moments of each weight: a byte for each number and a scale for each block, or 32 bits for small weights."""

    def is_rounded(weight: Weight) -> bool:
        exact = weight.kind == "embedding" and embeddings_in_32_bit
        return not exact and weight.count >= min_8bit_size

    def moments(weight: Weight) -> float:
        if not is_rounded(weight):
            return 8.0 * weight.count
        return 2.0 * weight.count + 8.0 * math.ceil(weight.count / _BLOCK)

    def beside(weight: Weight) -> float:
        """What bitsandbytes' formulas for CPUs need: numbers of 32 bits, and the gradient in them; a kernel nothing."""
        copies = (5 if is_rounded(weight) else 3) + (weight.bits < 32)
        return 4.0 * copies * weight.count

    trained = [weight for weight in estimate.weights if weight.trained]
    on_cpu = estimate.machine.device == "cpu"
    own = {weight.name for weight in trained if is_rounded(weight)}
    made = optimizer_bytes(estimate, moments, in_turn(trained, beside) if on_cpu else 0.0)
    made = made.updating("optimizer, moments in 8 bits", own, "in 32")
    if embeddings_in_32_bit and any(weight.kind == "embedding" for weight in trained):
        rounded = Change(("optimizer.embeddings_in_32_bit=false",), "exactness", "moments of embeddings in 8 bits too")
        made = made.offering(rounded)
    if on_cpu:
        return made
    if not paged:
        return made.offering(Change(("optimizer.paged=true",), "time", "the same numbers; moments move as needed"))
    return made.plus("optimizer states", replace(made.memory["optimizer states"], on_host=True))
