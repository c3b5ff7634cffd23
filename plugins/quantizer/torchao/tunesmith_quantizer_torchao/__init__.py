"""Weights of 8 and fewer bits by torchao, PyTorch's own quantisation: tensors that compute like any other weight.

8 bits: each row of a weight (out, in) has one scale: int8 is w ≈ s round(w / s) with s = max|w_row| / 127, float8 the
nearest number of 4 exponent and 3 mantissa bits to w / s with s = max|w_row| / 448 (Micikevicius et al. 2022, "FP8
Formats for Deep Learning", arXiv 2209.05433). `int8_dynamic` also rounds every token's input to 8 bits, with one scale
per token, and multiplies whole numbers.
Fewer bits: each group of a row's weights has one scale; the rounding costs more, and `qat` trains for it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tunesmith import announce, hookimpl, plugin
from tunesmith.ranges import at_least
from tunesmith.traits import QuantizerTraits
from tunesmith.types import ModelSource, Problem
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_weights.patterns import as_regex
from tunesmith_library_weights.towers import Part

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_BY_TRANSFORMERS = {
    "int8_weight_only": "Int8WeightOnlyConfig",
    "int8_dynamic": "Int8DynamicActivationInt8WeightConfig",
    "float8_weight_only": "Float8WeightOnlyConfig",
}


@plugin
class Torchao:
    """Weights of 2 to 8 bits by torchao, and training for them (QAT): whole numbers in rows or groups, or float8."""

    # what is stored, and what is computed: the dynamic schemes round the inputs to 8 bits too; int8 and float8 have a
    # scale per row, int4 (a GPU's kernel, for chat) and intx (2 to 8 bits, in a byte each) per group of a row
    scheme: Literal[
        "int8_weight_only",
        "int8_dynamic",
        "float8_weight_only",
        "int4_weight_only",
        "intx_weight_only",
        "int8_dynamic_intx",
    ] = "int8_weight_only"
    bits: Literal[2, 3, 4, 5, 6, 7, 8] = 4  # bits per weight of the intx schemes
    # weights that share one scale in the int4 and intx schemes
    group_size: Annotated[int, at_least(1, most=65_536)] = 32
    # train for the rounding of an intx scheme: the weights stay whole and are rounded in every step (quantisation-aware
    # training); the run saves them whole, and they are stored in few bits whenever it is loaded afterwards
    qat: bool = False
    # layers that keep their numbers, beside the output head: names, parts of dotted names, or patterns with `*`
    skip_modules: list[str] = []
    # parts of a model that also sees or hears whose layers are stored in few bits: language, vision, audio (its towers;
    # `tower` is each of them), projector; the others keep their numbers
    towers: list[Part] = ["language"]

    _training: bool = False  # whether the model that is being loaded will be trained

    @property
    def traits(self) -> QuantizerTraits:
        """With `qat`, training holds whole weights: any adapter may train them; their norms are not those served."""
        return QuantizerTraits(
            bits=(2, 3, 4, 5, 6, 7, 8),
            devices=("cpu", "cuda"),
            trains_base=self.qat,
            float_weights=True,
            weight_norms=not self.qat,
            method="torchao",
        )

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        from .checking import check

        return check(self, plan)

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from .estimating import estimate_torchao

        return estimate_torchao(self, estimate, plan.command == "train")

    @hookimpl
    def quantization_config(self, source: ModelSource) -> Any:
        """The `TorchAoConfig` with which transformers quantises every linear layer as it is read.

        Returns: None for the schemes with groups and for `qat`, which `quantize` puts into the loaded layers.

        Raises: TunesmithError when this machine has no kernel for int4_weight_only, before the weights are read.
        """
        self._training = source.training
        if self.scheme == "int4_weight_only":
            from .layers import refuse_without_kernel

            refuse_without_kernel(source.precision)
        if self.scheme not in _BY_TRANSFORMERS:
            return None
        import torchao.quantization
        from transformers import TorchAoConfig
        from tunesmith_library_weights.towers import left_out_of_folder

        scheme = getattr(torchao.quantization, _BY_TRANSFORMERS[self.scheme])(set_inductor_config=False, version=2)
        left = [*map(as_regex, self.skip_modules), *map(re.escape, left_out_of_folder(source.path, self.towers))]
        skip = ["lm_head", *left] if left else None  # None: the head alone
        return TorchAoConfig(quant_type=scheme, modules_to_not_convert=skip)

    @hookimpl
    def quantize(self, model: Any) -> Any:
        """Freeze what transformers quantised, or quantise in groups, or let the layers round whole weights (QAT).

        Raises: TunesmithError when `skip_modules` names no layer of the model or `towers` no part of it, or groups do
            not fill a row.
        """
        from tunesmith_library_weights.mapped import copy_out
        from tunesmith_library_weights.shares import say_bits

        from .layers import chosen_layers, freeze, quantise, round_in_training

        layers = chosen_layers(model, self.skip_modules, self.towers)
        say_bits(model, "in few bits", names=layers)
        if self.scheme in _BY_TRANSFORMERS:
            freeze(layers)
        elif self.qat and self._training:
            round_in_training(model, layers, self.scheme, self.bits, self.group_size)
            announce("weights", f"whole, rounded to {self.bits} bits in every step", "quantizer.qat")
        else:
            quantise(model, layers, self.scheme, self.bits, self.group_size)
            freeze(layers)
        return copy_out(model)
