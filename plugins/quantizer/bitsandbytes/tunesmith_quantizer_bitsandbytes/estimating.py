"""What weights of 4 or 8 bits take; without torch."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith_library_estimates.bits import in_few_bits
from tunesmith_library_estimates.estimation import Estimate, Weight

_BLOCK = 64  # weights of 4 bits that share a scale
_SCALES = 256  # scales that share one of their own, with double quantisation


def estimate_bits(estimate: Estimate, bits: int, double_quant: bool, skip: Sequence[str]) -> Estimate:
    """Give linear layers and experts few bits: while they are loaded, so that the whole model is never there."""

    def per_number(weight: Weight) -> float:
        if bits == 8:
            return 8 + 32 / weight.shape[-1]  # a scale in float32 for each row
        return 4 + ((8 + 32 / _SCALES) if double_quant else 32) / _BLOCK

    return in_few_bits(estimate, per_number, skip, what=f"in {bits} bits")
