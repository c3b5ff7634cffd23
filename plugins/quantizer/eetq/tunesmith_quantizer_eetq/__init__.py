"""8-bit weights by EETQ: one scale per output, w ≈ s round(w / s) with s = max|w_row| / 127, computed in float16.

The kernel multiplies float16 inputs with int8 weights as it reads them (NetEase Fuxi, github.com/NetEase-FuXi/EETQ,
after FasterTransformer's). It has no distribution of its own: the package `kernels` fetches it, compiled, from the
Hugging Face hub (kernels-community/quantization-eetq), for CUDA only.
"""

from __future__ import annotations

import importlib.util
import re
from typing import TYPE_CHECKING, Any, ClassVar

from tunesmith import TunesmithError, hookimpl, plugin
from tunesmith.traits import QuantizerTraits
from tunesmith.types import ModelSource, Problem
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_weights.towers import Part, towers_problems

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_INSTEAD = "instead: quantizer=torchao quantizer.scheme=int8_weight_only, which computes the same anywhere"


@plugin
class Eetq:
    """8-bit weights by EETQ's kernel, on CUDA GPUs and in float16."""

    traits: ClassVar[QuantizerTraits] = QuantizerTraits(
        bits=(8,), devices=("cuda",), float_weights=True, weight_norms=True, method="eetq"
    )

    # parts of a model that also sees or hears whose layers are stored in few bits: language, vision, audio (its towers;
    # `tower` is each of them), projector; the others keep their numbers
    towers: list[Part] = ["language"]

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        problems = towers_problems(self.towers, "quantizer.towers")
        if importlib.util.find_spec("kernels") is None:
            message = "quantizer=eetq needs the package kernels, which fetches EETQ's compiled kernel."
            problems.append(Problem("quantizer", message, f"pip install kernels\n{_INSTEAD}"))
        precision = plan.get("precision", "auto")
        if precision != "fp16":
            message = f"quantizer=eetq computes in fp16; precision={precision} would read its numbers wrongly."
            problems.append(Problem("precision", message, f"precision=fp16\n{_INSTEAD}"))
        return problems

    @hookimpl
    def estimate(self, estimate: Estimate) -> Estimate:
        from .estimating import estimate_bits

        return estimate_bits(estimate, self.towers)

    @hookimpl
    def quantization_config(self, source: ModelSource) -> Any:
        """The `EetqConfig` with which transformers quantises all linear layers but the head, or reads stored ones.

        Raises: TunesmithError without a CUDA GPU, or in another precision than fp16, before the weights are read.
        """
        import torch
        from transformers import EetqConfig
        from tunesmith_library_weights.towers import left_out_of_folder

        if not torch.cuda.is_available():
            raise TunesmithError(f"quantizer=eetq needs a CUDA GPU, for its kernel; found: none.\n  {_INSTEAD}")
        if source.precision != "fp16":
            raise TunesmithError(
                f"quantizer=eetq computes in fp16; this run computes in {source.precision}.\n  precision=fp16"
            )
        left = [re.escape(name) for name in left_out_of_folder(source.path, self.towers)]
        return EetqConfig("int8", ["lm_head", *left] if left else None)  # None: the head alone

    @hookimpl
    def quantize(self, model: Any) -> Any:
        """Put layers around those that transformers made, which adapters know and whose gradient is right."""
        from tunesmith_library_weights.shares import say_bits
        from tunesmith_library_weights.towers import parts_in

        from .linear import EetqLinear, replace_linears

        parts_in(model).refuse_missing("quantizer.towers", self.towers)
        model = replace_linears(model)
        say_bits(model, "in 8 bits", (EetqLinear,))
        return model
