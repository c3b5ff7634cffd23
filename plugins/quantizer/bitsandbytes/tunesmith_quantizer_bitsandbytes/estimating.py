"""What weights of 4 or 8 bits take; without torch."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith_library_estimates.bits import in_few_bits
from tunesmith_library_estimates.changes import Change
from tunesmith_library_estimates.estimation import Estimate, Weight

_BLOCK = 64  # weights of 4 bits that share a scale
_SCALES = 256  # scales that share one of their own, with double quantisation


def estimate_bits(
    estimate: Estimate, bits: int, double_quant: bool, skip: Sequence[str], towers: Sequence[str]
) -> Estimate:
    """Give linear layers and experts few bits: while they are loaded, so that the whole model is never there."""

    def per_number(weight: Weight) -> float:
        if bits == 8:
            return 8 + 32 / weight.shape[-1]  # a scale in float32 for each row
        tables = 32 * (16 + (_SCALES + 1 if double_quant else 0))  # the values of codes, which each layer has
        return 4 + ((8 + 32 / _SCALES) if double_quant else 32) / _BLOCK + tables / weight.count

    def in_use(weight: Weight) -> float:
        computed = 4 if estimate.precision == "fp32" else 2
        # for gradients through 8 bits on a CPU, beside the numbers of the products two copies in float32
        beside = 8 if bits == 8 and computed == 2 and estimate.machine.device == "cpu" else 0
        return (computed + beside) * weight.count

    made = in_few_bits(estimate, per_number, skip, towers, what=f"in {bits} bits", in_use=in_use)
    if bits == 8:
        return made.offering(Change(("quantizer.bits=4",), "exactness", "weights in 4 bits in place of 8"))
    if not double_quant:
        return made.offering(Change(("quantizer.double_quant=true",), "exactness", "scales in 8 bits in place of 32"))
    return made
