"""What weights of 8 bits take, read in few bits as they are loaded; without torch."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith_library_estimates.bits import in_few_bits
from tunesmith_library_estimates.estimation import Estimate, Weight


def estimate_bits(estimate: Estimate, towers: Sequence[str]) -> Estimate:
    """Give linear layers 8 bits, and a scale in float16 for each output; fused experts stay as they are."""

    def per_number(weight: Weight) -> float:
        return 8 + 16 / weight.shape[-1]

    def in_use(weight: Weight) -> float:
        """The weight is read off the outputs for the unit vectors, all in float16."""
        return 2.0 * (weight.shape[-1] ** 2 + weight.count)

    return in_few_bits(estimate, per_number, (), towers, what="in 8 bits", experts=False, in_use=in_use)
