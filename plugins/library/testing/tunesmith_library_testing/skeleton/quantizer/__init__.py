"""Round-to-nearest quantisation: no calibration, no dependency beside torch."""

from typing import Annotated, Any, Literal

from tunesmith import hookimpl, plugin
from tunesmith.ranges import at_least
from tunesmith_library_estimates.estimation import Estimate, Weight


@plugin
class Placeholder:
    """Round each weight to the nearest of 2^bits - 1 levels, scaled by the largest magnitude of its group."""

    bits: Literal[2, 3, 4, 8] = 4  # bits per weight
    # weights that share one scale; it must divide the width of every layer
    group_size: Annotated[int, at_least(1, most=65_536)] = 64

    @hookimpl
    def estimate(self, estimate: Estimate) -> Estimate:
        """A byte for each weight whatever the bits, and a scale as wide as the weights were for each group."""
        from tunesmith_library_estimates.bits import in_few_bits

        def bits(weight: Weight) -> float:
            return 8 + weight.bits / self.group_size

        return in_few_bits(estimate, bits, what=f"in {self.bits} bits", experts=False, loads_whole=True)

    @hookimpl
    def quantize(self, model: Any) -> Any:
        from .linear import replace_linears

        return replace_linears(model, self.bits, self.group_size)
