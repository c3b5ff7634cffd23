"""Weights of 8 bits by torchao, PyTorch's own quantisation: tensors that compute like any other weight.

Each row of a weight (out, in) has one scale: int8 is w ≈ s round(w / s) with s = max|w_row| / 127, float8 the nearest
number of 4 exponent and 3 mantissa bits to w / s with s = max|w_row| / 448 (Micikevicius et al. 2022, "FP8 Formats for
Deep Learning", arXiv 2209.05433). `int8_dynamic` also rounds every token's input to 8 bits, with one scale per token,
and multiplies whole numbers.
"""

from __future__ import annotations

import fnmatch
from dataclasses import field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tunesmith import hookimpl, plugin
from tunesmith.patterns import refuse_unknown
from tunesmith.types import Capabilities, ModelSource, Problem

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_CONFIGS = {
    "int8_weight_only": "Int8WeightOnlyConfig",
    "int8_dynamic": "Int8DynamicActivationInt8WeightConfig",
    "float8_weight_only": "Float8WeightOnlyConfig",
}


@plugin
class Torchao:
    """8-bit weights by torchao, as whole numbers or as float8, quantised while the model is loaded."""

    capabilities: ClassVar[Capabilities] = Capabilities(bits=(8,), devices=("cpu", "cuda"))

    # what is stored, and what is computed: int8_dynamic rounds the inputs to 8 bits too, and cannot be trained over
    scheme: Literal["int8_weight_only", "int8_dynamic", "float8_weight_only"] = "int8_weight_only"
    # layers that keep their numbers, beside the output head: names, parts of dotted names, or patterns with `*`
    skip_modules: list[str] = field(default_factory=list)

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        if plan.command != "train" or self.scheme != "int8_dynamic":
            return []
        message = "quantizer.scheme=int8_dynamic passes no gradient, so that nothing below a layer could learn from it."
        advice = "train with int8_weight_only; chat with the run may use int8_dynamic: its weights are the same"
        return [Problem("quantizer.scheme", message, advice)]

    @hookimpl
    def quantization_config(self, source: ModelSource) -> Any:
        """The `TorchAoConfig` with which transformers quantises every linear layer as it is read."""
        import torchao.quantization
        from transformers import TorchAoConfig

        scheme = getattr(torchao.quantization, _CONFIGS[self.scheme])(set_inductor_config=False)
        skip = ["lm_head", *map(_regex, self.skip_modules)] if self.skip_modules else None  # None: the head alone
        return TorchAoConfig(quant_type=scheme, modules_to_not_convert=skip)

    @hookimpl
    def quantize(self, model: Any) -> Any:
        """Freeze the quantised weights.

        Raises: TunesmithError when `skip_modules` names no layer of the model.
        """
        from torch.nn import Linear

        linear = {name: module for name, module in model.named_modules() if isinstance(module, Linear)}
        refuse_unknown("quantizer.skip_modules", self.skip_modules, list(linear), "layer")
        for module in linear.values():
            module.weight.requires_grad_(False)
        return model


def _regex(pattern: str) -> str:
    """A pattern of `tunesmith.patterns` as transformers reads it: a regular expression from a name's start to a dot."""
    return r"(?:.*\.)?" + fnmatch.translate(pattern).removesuffix(r"\Z").removesuffix(r"\z")
