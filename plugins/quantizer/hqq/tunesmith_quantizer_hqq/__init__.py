"""Half-Quadratic Quantization (HQQ): weights of 8 to 1 bits, found without looking at data.

Each group of g weights shares a scale s and a zero point z, w ≈ s (round(w / s + z) - z). The zero point minimises
|w - w'|^p with p = 0.7, which leaves room for outliers, by half-quadratic splitting: closed-form steps, no gradients
(Badri and Shaji 2023, "Half-Quadratic Quantization of Large Machine Learning Models", mobiusml.github.io/hqq_blog).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tunesmith import hookimpl, plugin
from tunesmith.ranges import at_least
from tunesmith.traits import QuantizerTraits
from tunesmith.types import Problem
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_weights.towers import Part, towers_problems

if TYPE_CHECKING:
    from tunesmith.planning import Plan


@plugin
class Hqq:
    """Half-Quadratic Quantization to 8, 4, 3, 2 or 1 bits, without calibration (Badri & Shaji 2023)."""

    traits: ClassVar[QuantizerTraits] = QuantizerTraits(
        bits=(1, 2, 3, 4, 8), devices=("cpu", "cuda"), weight_norms=True, spreads=("fsdp",), method="hqq"
    )

    bits: Literal[1, 2, 3, 4, 8] = 4  # bits per weight
    # weights that share one scale and zero point, a multiple of 8; fewer are more exact and cost more memory
    group_size: Annotated[int, at_least(8, most=65_536)] = 64
    # what a group is cut from: 1 is along the inputs of one output (what inference kernels expect), 0 across outputs
    axis: Literal[0, 1] = 1
    # layers that keep their numbers, beside the output head: names, parts of dotted names, or patterns with `*`
    skip_modules: list[str] = []
    # parts of a model that also sees or hears whose layers are stored in few bits: language, vision, audio (its towers;
    # `tower` is each of them), projector; the others keep their numbers
    towers: list[Part] = ["language"]

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        problems = towers_problems(self.towers, "quantizer.towers")
        if self.group_size % 8 == 0:
            return problems
        message = f"quantizer.group_size={self.group_size} cannot be packed into bytes."
        return [*problems, Problem("quantizer.group_size", message, "a multiple of 8: 16, 32, 64, 128")]

    @hookimpl
    def estimate(self, estimate: Estimate) -> Estimate:
        from .estimating import estimate_bits

        return estimate_bits(estimate, self.bits, self.group_size, self.axis, self.skip_modules, self.towers)

    @hookimpl
    def quantize(self, model: Any) -> Any:
        """Replace the linear layers, all but the output head, one after the other.

        Raises: TunesmithError when the model is quantised already, or when a layer cannot be cut into groups.
        """
        from .linear import replace_linears

        return replace_linears(model, self.bits, self.group_size, self.axis, self.skip_modules, self.towers)
