"""What moments in 8 bits take; without torch."""

from __future__ import annotations

import math

from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_estimates.training import optimizer_bytes

_BLOCK = 256  # numbers of a moment that share a scale


def estimate_moments(estimate: Estimate, min_8bit_size: int, embeddings_in_32_bit: bool) -> Estimate:
    """Two moments of each weight: a byte for each number and a scale for each block, or 32 bits for small weights."""

    def moments(weight: Weight) -> float:
        exact = weight.kind == "embedding" and embeddings_in_32_bit
        if exact or weight.count < min_8bit_size:
            return 8.0 * weight.count
        return 2.0 * weight.count + 8.0 * math.ceil(weight.count / _BLOCK)

    return optimizer_bytes(estimate, moments)
