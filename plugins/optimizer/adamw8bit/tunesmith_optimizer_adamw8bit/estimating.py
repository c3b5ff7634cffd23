"""What moments in 8 bits take; without torch."""

from __future__ import annotations

import math

from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_estimates.training import optimizer_bytes

_BLOCK = 256  # numbers of a moment that share a scale


def estimate_moments(estimate: Estimate, min_8bit_size: int, embeddings_in_32_bit: bool) -> Estimate:
    """Two moments of each weight: a byte for each number and a scale for each block, or 32 bits for small weights."""

    def is_rounded(weight: Weight) -> bool:
        exact = weight.kind == "embedding" and embeddings_in_32_bit
        return not exact and weight.count >= min_8bit_size

    def moments(weight: Weight) -> float:
        if not is_rounded(weight):
            return 8.0 * weight.count
        return 2.0 * weight.count + 8.0 * math.ceil(weight.count / _BLOCK)

    own = {weight.name for weight in estimate.weights if weight.trained and is_rounded(weight)}
    return optimizer_bytes(estimate, moments).updating("optimizer, moments in 8 bits", own, "in 32")
