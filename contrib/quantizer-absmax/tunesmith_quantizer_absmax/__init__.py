"""Absmax quantisation: round to nearest, no calibration, no dependency beside torch."""

from typing import Annotated, Any, ClassVar, Literal

from tunesmith import hookimpl, plugin
from tunesmith.ranges import at_least
from tunesmith.traits import QuantizerTraits
from tunesmith_library_estimates.estimation import Estimate


@plugin
class Absmax:
    """Round each weight to the nearest of 2^bits - 1 levels, scaled by the largest magnitude of its group."""

    traits: ClassVar[QuantizerTraits] = QuantizerTraits(
        bits=(2, 3, 4, 5, 6, 8), devices=("cpu", "cuda"), float_weights=True, weight_norms=True
    )

    bits: Literal[2, 3, 4, 5, 6, 8] = 4  # bits per weight
    # weights that share one scale; it must divide the width of every layer
    group_size: Annotated[int, at_least(1, most=65_536)] = 64

    @hookimpl
    def estimate(self, estimate: Estimate) -> Estimate:
        """A byte for each weight whatever the bits, and a scale as wide as the weights were for each group."""
        from tunesmith_library_estimates.bits import in_few_bits

        what = f"in {self.bits} bits"
        return in_few_bits(
            estimate, lambda weight: 8 + weight.bits / self.group_size, what=what, experts=False, loads_whole=True
        )

    @hookimpl
    def quantize(self, model: Any) -> Any:
        from .linear import replace_linears

        return replace_linears(model, self.bits, self.group_size)
