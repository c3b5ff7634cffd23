"""Half-Quadratic Quantization (HQQ): weights of 8 to 1 bits, found without looking at data.

Each group of g weights shares a scale s and a zero point z, w ≈ s (round(w / s + z) - z). The zero point minimises
|w - w'|^p with p = 0.7, which leaves room for outliers, by half-quadratic splitting: closed-form steps, no gradients
(Badri and Shaji 2023, "Half-Quadratic Quantization of Large Machine Learning Models", mobiusml.github.io/hqq_blog).
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tunesmith import hookimpl, plugin
from tunesmith.traits import QuantizerTraits
from tunesmith.types import Problem

if TYPE_CHECKING:
    from tunesmith.planning import Plan


@plugin
class Hqq:
    """Half-Quadratic Quantization to 8, 4, 3, 2 or 1 bits, without calibration (Badri & Shaji 2023)."""

    traits: ClassVar[QuantizerTraits] = QuantizerTraits(bits=(1, 2, 3, 4, 8), devices=("cpu", "cuda"))

    bits: Literal[1, 2, 3, 4, 8] = 4  # bits per weight
    group_size: int = 64  # weights that share one scale and zero point; fewer are more exact and cost more memory
    # what a group is cut from: 1 is along the inputs of one output (what inference kernels expect), 0 across outputs
    axis: Literal[0, 1] = 1
    # layers that keep their numbers, beside the output head: names, parts of dotted names, or patterns with `*`
    skip_modules: list[str] = field(default_factory=list)

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        problems = []
        if self.group_size < 8 or self.group_size % 8:
            message = f"quantizer.group_size={self.group_size} cannot be packed into bytes."
            problems.append(Problem("quantizer.group_size", message, "a multiple of 8: 16, 32, 64, 128"))
        if plan.get("adapter.init") == "orthogonal":
            message = "adapter.init=orthogonal takes the numbers of the base, and quantizer=hqq packs its bits."
            problems.append(Problem("adapter.init", message, "adapter.init=true, or quantizer=torchao"))
        return problems

    @hookimpl
    def quantize(self, model: Any) -> Any:
        """Replace the linear layers, all but the output head, one after the other.

        Raises: TunesmithError when the model is quantised already, or when a layer cannot be cut into groups.
        """
        from .linear import replace_linears

        return replace_linears(model, self.bits, self.group_size, self.axis, self.skip_modules)
