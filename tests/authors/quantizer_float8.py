"""Weights in float8 (e4m3; Micikevicius et al. 2022, arXiv 2209.05433): `quantizer=float8.py:Float8`."""

from typing import Any, ClassVar

from tunesmith import hookimpl, plugin
from tunesmith.traits import QuantizerTraits
from tunesmith_library_estimates.estimation import Estimate

LARGEST = 448.0  # of e4m3


@plugin
class Float8:
    """Each row of a weight in 8-bit floating point, with a scale of its own; no calibration, on any device."""

    traits: ClassVar[QuantizerTraits] = QuantizerTraits(bits=(8,), devices=("cpu", "cuda"), float_weights=True)

    @hookimpl
    def estimate(self, estimate: Estimate) -> Estimate:
        from tunesmith_library_estimates.bits import in_few_bits

        def bits(weight: Any) -> float:  # 8, and a scale in float32 for each row
            return 8 + 32 / weight.shape[-1]

        return in_few_bits(estimate, bits, what="in float8", experts=False, loads_whole=True)

    @hookimpl
    def quantize(self, model: Any) -> Any:
        from tunesmith_library_quantizing.stored import store_linears

        return store_linears(model, encode, decode)


def encode(weight: Any) -> dict[str, Any]:
    """(out, in) as codes (out, in) and scales (out, 1)."""
    import torch

    scales = weight.abs().amax(1, keepdim=True).float().clamp_min(1e-12) / LARGEST
    return {"codes": (weight / scales).to(torch.float8_e4m3fn), "scales": scales}


def decode(stored: dict[str, Any]) -> Any:
    """(out, in) in float32."""
    return stored["codes"].float() * stored["scales"]
