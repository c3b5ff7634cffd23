"""What weights of 8 to 1 bits with scales and zero points take; without torch."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith_library_estimates.bits import in_few_bits
from tunesmith_library_estimates.estimation import Estimate, Weight


def estimate_bits(estimate: Estimate, bits: int, group_size: int, skip: Sequence[str]) -> Estimate:
    """Give linear layers and experts few bits, after the whole model was loaded."""
    packed = 3.2 if bits == 3 else float(bits)  # ten numbers of 3 bits in 32
    scales = 2 * (32 if estimate.precision == "fp32" else 16) / group_size  # a scale and a zero point for each group

    def per_number(weight: Weight) -> float:
        return packed + scales

    return in_few_bits(estimate, per_number, skip, what=f"in {bits} bits", loads_whole=True)
