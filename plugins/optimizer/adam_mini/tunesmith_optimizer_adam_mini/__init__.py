"""Adam-mini: AdamW with one second moment per block of weights.

Zhang et al. 2024, "Adam-mini: Use Fewer Learning Rates To Gain More" (arXiv 2406.16793).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunesmith import announce, hookimpl, plugin
from tunesmith.types import OptimizerSettings, Problem
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_optimizing.checks import needs_whole_weights

if TYPE_CHECKING:
    from tunesmith.planning import Plan


@plugin
class AdamMini:
    """AdamW with one second moment per attention head, neuron or token: half the state."""

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        return needs_whole_weights(plan, "optimizer=adam_mini averages over heads and neurons")

    @hookimpl
    def estimate(self, estimate: Estimate) -> Estimate:
        from .estimating import estimate_mini

        return estimate_mini(estimate)

    @hookimpl
    def build_optimizer(self, model: Any, settings: OptimizerSettings) -> Any:
        from tunesmith_library_optimizing.groups import adam_defaults
        from tunesmith_library_optimizing.stacks import stacked

        from .blocks import head_dim_of, weight_groups
        from .optimizer import AdamMiniW

        head_dim = head_dim_of(model)
        announce(
            "adam_mini", f"attention heads of {head_dim}" if head_dim else "no attention heads", "the model's config"
        )
        views = stacked(model)
        groups = weight_groups(model, head_dim, settings.weight_decay, views)
        return AdamMiniW(groups, adam_defaults(settings), views)
