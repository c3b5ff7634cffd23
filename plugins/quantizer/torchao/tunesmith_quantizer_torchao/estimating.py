"""What torchao's weights take, and what a forward pass makes of them; without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunesmith_library_estimates.bits import in_few_bits
from tunesmith_library_estimates.estimation import Estimate, Weight

if TYPE_CHECKING:
    from . import Torchao

_READ_SO = ("int8_weight_only", "int8_dynamic", "float8_weight_only")  # quantised as they are read, with scales by row


def estimate_torchao(torchao: Torchao, estimate: Estimate, training: bool) -> Estimate:
    """Give linear layers few bits; fused experts stay as they are.

    torchao makes the whole weight for a product, and autograd keeps it for the gradient of the input: while activations
    are kept, so are these. With `qat` it is the rounded one, beside the weight in the numbers of the products.
    """
    computed = 4 if estimate.precision == "fp32" else 2
    by_row = torchao.scheme in _READ_SO
    kernel = torchao.scheme == "int4_weight_only"

    def per_number(weight: Weight) -> float:
        if torchao.qat and training:
            return weight.bits
        if by_row:
            return 8 + (32 if torchao.scheme == "float8_weight_only" else 40) / weight.shape[-1]
        if kernel:
            return 4 + 2 * 16 / torchao.group_size
        return 8 + (weight.bits + 8) / torchao.group_size  # a byte for each, whatever `bits` says

    def in_use(weight: Weight) -> float:
        if torchao.qat and training:
            return 4.0 * computed * weight.count
        if torchao.scheme == "float8_weight_only":
            return (8.0 + (2 if computed == 2 else 0)) * weight.count
        return (1.0 if by_row or kernel else 2.0) * computed * weight.count

    return in_few_bits(
        estimate,
        per_number,
        torchao.skip_modules,
        torchao.towers,
        what="rounded in every step" if torchao.qat and training else "in few bits",
        experts=False,
        loads_whole=not by_row,
        kept_bits=8.0 * computed * (2 if torchao.qat else 1) if training else 0.0,
        in_use=in_use,
        in_making=None if by_row or torchao.qat else lambda weight: (9.0 + weight.bits / 4) * weight.count,
    )
