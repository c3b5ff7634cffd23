"""What AQLM's codes take, by the config.json of the model that is stored so; without torch."""

from __future__ import annotations

import json
from pathlib import Path

from tunesmith_library_estimates.bits import in_few_bits
from tunesmith_library_estimates.estimation import Estimate, Weight

_SIZES = ("num_codebooks", "nbits_per_codebook", "out_group_size", "in_group_size")


def estimate_codes(estimate: Estimate, path: str) -> Estimate:
    """Give linear layers codes, which are in few bits from the start, codebooks and scales; experts stay as they are.

    Args:
        path: the model's folder.
    """
    file = Path(path).expanduser() / "config.json"
    stored = json.loads(file.read_text(encoding="utf-8")).get("quantization_config") or {} if file.is_file() else {}
    if any(not isinstance(stored.get(name), int) for name in _SIZES):
        return estimate.without("quantizer=aqlm: how the model is stored, which its config.json at hand would say")
    books, bits, rows, columns = (int(stored[name]) for name in _SIZES)
    code = next(size for size in (8, 16, 32) if size >= bits)  # the smallest whole numbers of torch's that hold one
    computed = 4 if estimate.precision == "fp32" else 2

    def per_number(weight: Weight) -> float:
        codes = code * books / (rows * columns)
        tables = weight.bits * (books * (1 << bits) * rows * columns + weight.shape[0] / rows) / weight.count
        return codes + tables

    def in_use(weight: Weight) -> float:
        """Indices of 64 bits, the sums of the vectors, these times scales, and in the order of the weight."""
        return weight.count * (8 * books / (rows * columns) + 3 * computed)

    skip = [name.removesuffix(".weight") for name in stored.get("linear_weights_not_to_quantize") or ()]
    return in_few_bits(estimate, per_number, skip, what="in AQLM's codes", experts=False, in_use=in_use)
