"""What an average takes: the mean of every tensor, one tensor of all members in float64, and the model with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_estimates.exported import is_of_adapter, with_files
from tunesmith_library_estimates.exporting import while_exporting

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_FEW = 2  # members at least; of more, where nobody has counted checkpoints, each adds one tensor


def estimate_average(estimate: Estimate, plan: Plan, members: int, method: str) -> Estimate:
    """Add what is written, and what it takes.

    Args:
        members: that are averaged; 0 where these are a run's checkpoints.
        method: `average`, or one of peft's, which have all adapters beside the model.
    """
    adapter = plan.traits("adapter")
    members = max(members, _FEW)
    if adapter is None or not adapter.beside:  # the whole model, which is loaded when the mean is on the disk
        made = with_files(estimate, "average", lambda weight: weight.bits, plan)
        largest = max((weight.count for weight in estimate.weights), default=0)
        mean = {"the mean of the weights": sum(weight.bytes for weight in estimate.weights)}
        return while_exporting(made, mean | {"a tensor in float64": 8.0 * (members + 1) * largest})
    own = [weight.count for weight in estimate.weights if is_of_adapter(weight)]
    if not own:
        return estimate
    made, held = estimate.storing("average", 4.0 * sum(own)), 1 if method == "average" else members + 1
    parts = {"adapters in float32": 4.0 * held * sum(own), "a tensor in float64": 8.0 * (members + 1) * max(own)}
    if method.endswith("svd"):
        widest = max(
            (weight.shape[0] * weight.shape[-1] for weight in estimate.weights if weight.kind == "linear"), default=0
        )
        parts["what adapters do to a layer, and its singular vectors"] = 4.0 * (members + 4) * widest
    return while_exporting(made, parts)
