"""Models stored with additive quantisation (AQLM), about 2 bits per weight, found with much computation by others.

Each group of a weight's numbers is the sum of one vector out of each of M codebooks, times a scale per row of groups:
W[i, j] = s_i Σ_m C_m[b_ijm] (Egiazarian et al. 2024, "Extreme Compression of Large Language Models via Additive
Quantization", arXiv 2401.06118, section 3). Here the codes are read and computed with; nothing is quantised.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, ClassVar

from tunesmith import announce, hookimpl, plugin
from tunesmith.traits import QuantizerTraits
from tunesmith.types import ModelSource
from tunesmith_library_estimates.estimation import Estimate

if TYPE_CHECKING:
    from tunesmith.planning import Plan


@plugin
class Aqlm:
    """Reads models stored by AQLM (Egiazarian et al. 2024), in plain torch, to train adapters over them."""

    traits: ClassVar[QuantizerTraits] = QuantizerTraits(
        bits=(1, 2, 3, 4), devices=("cpu", "cuda"), float_weights=True, weight_norms=True, method="aqlm"
    )

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from .estimating import estimate_codes

        return estimate_codes(estimate, str(plan.get("model.path", "")))

    @hookimpl
    def quantization_config(self, source: ModelSource) -> None:
        """Nothing for transformers to quantise: the model's own config.json says how it is stored.

        Raises: TunesmithError when the model is not stored by AQLM, before its weights are read.
        """
        from .reading import read_sizes

        announce("quantizer", read_sizes(source), f"{source.address}/config.json")

    @hookimpl(wrapper=True)
    def load_model(self) -> Generator[None, Any, Any]:
        """Let transformers read the codes into our layers: its own reader needs a package with compiled kernels."""
        from .reading import own_reader

        with own_reader():
            return (yield)

    @hookimpl
    def quantize(self, model: Any) -> Any:
        """Freeze codebooks and scales: they were read as any other weight."""
        from tunesmith_library_weights.dequantising import dequantise, is_wanted
        from tunesmith_library_weights.shares import say_bits

        from .linear import AqlmLinear

        if is_wanted():
            return dequantise(model, {AqlmLinear: AqlmLinear.in_float32})
        for layer in model.modules():
            if isinstance(layer, AqlmLinear):
                layer.requires_grad_(False)
        say_bits(model, "in few bits", (AqlmLinear,))
        return model
