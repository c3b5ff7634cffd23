"""GaLore: AdamW in a low-rank subspace of the gradient, for full fine-tuning with an adapter's memory.

Zhao et al. 2024, "GaLore: Memory-Efficient LLM Training by Gradient Low-Rank Projection" (arXiv 2403.03507).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from tunesmith import hookimpl, plugin
from tunesmith.ranges import above, at_least
from tunesmith.traits import OptimizerTraits
from tunesmith.types import OptimizerSettings, Problem
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_optimizing.checks import needs_projected_gradients

if TYPE_CHECKING:
    from tunesmith.planning import Plan


@plugin
class GaLore:
    """AdamW whose state lives in a low-rank subspace of each layer's gradient."""

    rank: Annotated[int, at_least(1, most=65_536)] = 128  # rank of the subspace that a gradient is projected to
    # optimizer steps from one computation of the subspaces (an SVD) to the next
    update_proj_gap: Annotated[int, at_least(1, most=1_000_000_000)] = 200
    scale: Annotated[float, above(0, most=1_000_000)] = 0.25  # factor of the projected updates, α of the paper
    # which side of a gradient (out × in) is projected; std: the smaller, reverse_std: the larger, full: both
    proj_type: Literal["std", "reverse_std", "left", "right", "full"] = "std"
    # layers to project: parts of dotted names, or patterns with `*`; `all`: all linear layers and fused experts, but
    # not the output head
    target_modules: list[str] | str = "all"
    layerwise: bool = False  # update each weight inside the backward pass, so that gradients need no memory

    @property
    def traits(self) -> OptimizerTraits:
        return OptimizerTraits(one_process=self.layerwise)

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        return needs_projected_gradients(plan, "galore", layerwise=self.layerwise)

    @hookimpl
    def estimate(self, estimate: Estimate) -> Estimate:
        from tunesmith_library_optimizing.estimating import LowRank, estimate_low_rank

        from .estimating import beside, numbers_of

        projection = LowRank(
            self.target_modules,
            self.rank,
            self.layerwise,
            numbers=lambda rows, columns: numbers_of(rows, columns, self.rank, self.proj_type),
            beside=lambda rows, columns, width: beside(rows, columns, width, self.rank),
        )
        return estimate_low_rank(estimate, projection)

    @hookimpl
    def build_optimizer(self, model: Any, settings: OptimizerSettings) -> Any:
        """Raises: TunesmithError when `target_modules` fits no layer."""
        from tunesmith_library_optimizing.groups import low_rank_optimizer

        from .optimizer import GaLoreAdamW

        return low_rank_optimizer(
            GaLoreAdamW,
            "galore",
            model,
            settings,
            target_modules=self.target_modules,
            layerwise=self.layerwise,
            rank=self.rank,
            update_proj_gap=self.update_proj_gap,
            scale=self.scale,
            proj_type=self.proj_type,
        )
