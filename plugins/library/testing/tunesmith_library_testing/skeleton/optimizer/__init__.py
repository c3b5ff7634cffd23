"""Signum: gradient descent by the sign of the momentum (Bernstein et al. 2018, arXiv 1802.04434)."""

from typing import Annotated, Any

from tunesmith import hookimpl, plugin
from tunesmith.ranges import Range
from tunesmith.types import OptimizerSettings
from tunesmith_library_estimates.estimation import Estimate


@plugin
class Placeholder:
    """Every weight moves by the learning rate, in the direction of its momentum."""

    momentum: Annotated[float, Range(0, 1, high_excluded=True)] = 0.9  # share of the former direction that is kept

    @hookimpl
    def estimate(self, estimate: Estimate) -> Estimate:
        """One momentum of each weight; in a step the signs of one weight at a time."""
        from tunesmith_library_estimates.training import in_turn, optimizer_bytes

        trained = [weight for weight in estimate.weights if weight.trained]
        return optimizer_bytes(
            estimate, lambda weight: weight.bytes, beside=in_turn(trained, lambda weight: weight.bytes)
        )

    @hookimpl
    def build_optimizer(self, model: Any, settings: OptimizerSettings) -> Any:
        from .signum import Signum

        trained = [weight for weight in model.parameters() if weight.requires_grad]
        return Signum(trained, settings.learning_rate, self.momentum, settings.weight_decay)
