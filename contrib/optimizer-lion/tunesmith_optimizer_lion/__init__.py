"""Lion (Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms", arXiv 2302.06675)."""

from typing import Annotated, Any

from tunesmith import hookimpl, plugin
from tunesmith.ranges import Range
from tunesmith.types import OptimizerSettings
from tunesmith_library_estimates.estimation import Estimate


@plugin
class Lion:
    """Moves every weight by the learning rate, along the sign of an interpolated momentum."""

    # share of the momentum in the interpolation whose sign is the update
    beta1: Annotated[float, Range(0, 1, high_excluded=True)] = 0.9
    beta2: Annotated[float, Range(0, 1, high_excluded=True)] = 0.99  # decay of the momentum

    @hookimpl
    def estimate(self, estimate: Estimate) -> Estimate:
        """One moment of each weight; in a step the signs of one weight at a time."""
        from tunesmith_library_estimates.training import in_turn, optimizer_bytes

        trained = [weight for weight in estimate.weights if weight.trained]
        beside = in_turn(trained, lambda weight: weight.bytes)
        return optimizer_bytes(estimate, lambda weight: weight.bytes, beside)

    @hookimpl
    def build_optimizer(self, model: Any, settings: OptimizerSettings) -> Any:
        from .optimizer import LionOptimizer

        trainable = [weight for weight in model.parameters() if weight.requires_grad]
        groups = [
            {"params": [weight for weight in trainable if weight.ndim > 1], "weight_decay": settings.weight_decay},
            {"params": [weight for weight in trainable if weight.ndim <= 1], "weight_decay": 0.0},
        ]
        return LionOptimizer(groups, {"lr": settings.learning_rate, "betas": (self.beta1, self.beta2)})
