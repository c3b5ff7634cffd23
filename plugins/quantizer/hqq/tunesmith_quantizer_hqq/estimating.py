"""What weights of 8 to 1 bits with scales and zero points take; without torch."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from tunesmith_library_estimates.bits import in_few_bits
from tunesmith_library_estimates.changes import Change
from tunesmith_library_estimates.estimation import Estimate, Weight


def estimate_bits(
    estimate: Estimate, bits: int, group_size: int, axis: int, skip: Sequence[str], towers: Sequence[str]
) -> Estimate:
    """Give linear layers and experts few bits, after the whole model was loaded."""
    packed = float(bits)
    if bits == 3:  # ten numbers in 32 bits: of a group where it is cut across outputs, else of all
        packed = 3.2 if axis else 32 * ceil(group_size / 10) / group_size
    scales = 2 * (32 if estimate.precision == "fp32" else 16) / group_size  # a scale and a zero point for each group

    def per_number(weight: Weight) -> float:
        return packed + scales

    def in_use(weight: Weight) -> float:
        """What is unpacked, what is left of it by the zero points, and by the scales."""
        return 3 * (4 if estimate.precision == "fp32" else 2) * weight.count

    def in_making(weight: Weight) -> float:
        """In float32, as measured: the weight, what the half-quadratic steps compare, and the best so far."""
        return 4.0 * (9 if weight.bits >= 32 else 10) * weight.count

    made = in_few_bits(
        estimate,
        per_number,
        skip,
        towers,
        what=f"in {bits} bits",
        loads_whole=True,
        in_use=in_use,
        in_making=in_making,
    )
    if bits > 4:
        made = made.offering(Change(("quantizer.bits=4",), "exactness", f"weights in 4 bits in place of {bits}"))
    if group_size < 128:
        coarser = Change(("quantizer.group_size=128",), "exactness", f"a scale for 128 weights, not for {group_size}")
        made = made.offering(coarser)
    return made
