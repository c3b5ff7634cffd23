"""Lion (Chen et al. 2023, arXiv 2302.06675, program 1): `optimizer=lion.py:Lion`."""

from typing import Annotated, Any

from tunesmith import hookimpl, plugin
from tunesmith.ranges import Range
from tunesmith.types import OptimizerSettings
from tunesmith_library_estimates.estimation import Estimate


@plugin
class Lion:
    """Every weight moves by the learning rate, by the sign of an interpolated momentum."""

    beta1: Annotated[float, Range(0, 1, high_excluded=True)] = 0.9  # share of the momentum in a step's direction
    beta2: Annotated[float, Range(0, 1, high_excluded=True)] = 0.99  # share of the momentum that is kept

    @hookimpl
    def estimate(self, estimate: Estimate) -> Estimate:
        from tunesmith_library_estimates.training import in_turn, optimizer_bytes

        trained = [weight for weight in estimate.weights if weight.trained]
        return optimizer_bytes(estimate, lambda weight: weight.bytes, in_turn(trained, lambda weight: weight.bytes))

    @hookimpl
    def build_optimizer(self, model: Any, settings: OptimizerSettings) -> Any:
        from tunesmith_library_optimizing.per_weight import optimizer_of

        return optimizer_of(model, settings, self.update)

    def update(self, weight: Any, gradient: Any, group: dict[str, Any], state: dict[str, Any]) -> None:
        if "momentum" not in state:
            state["momentum"] = gradient.clone().zero_()
        direction = state["momentum"].lerp(gradient, 1 - self.beta1).sign_()
        weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-group["lr"])
        state["momentum"].lerp_(gradient, 1 - self.beta2)
