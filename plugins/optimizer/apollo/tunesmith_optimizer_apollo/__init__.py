"""APOLLO: the gradient, scaled channel by channel as AdamW in a small random subspace would scale it.

Zhu et al. 2024, "APOLLO: SGD-like Memory, AdamW-level Performance" (arXiv 2412.05270).
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
class Apollo:
    """Gradient descent whose step sizes are AdamW's, estimated per channel in a random subspace of low rank."""

    rank: Annotated[int, at_least(1, most=65_536)] = 256  # rank of the random subspace
    # optimizer steps from one random projection to the next
    update_proj_gap: Annotated[int, at_least(1, most=1_000_000_000)] = 200
    # subspace: drawn at random, which takes no memory, or the gradient's singular vectors, which are kept
    proj: Literal["random", "svd"] = "random"
    scale: Annotated[float, above(0, most=1_000_000)] = 1.0  # the updates are multiplied by its root
    scale_type: Literal["channel", "tensor"] = "channel"  # one step size per row or column, or one per matrix
    # layers to project: parts of dotted names, or patterns with `*`; `all`: all linear layers and fused experts, but
    # not the output head
    target_modules: list[str] | str = "all"
    layerwise: bool = False  # update each weight inside the backward pass, so that gradients need no memory

    @property
    def traits(self) -> OptimizerTraits:
        return OptimizerTraits(one_process=self.layerwise)

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        return needs_projected_gradients(plan, "apollo", layerwise=self.layerwise)

    @hookimpl
    def estimate(self, estimate: Estimate) -> Estimate:
        from tunesmith_library_optimizing.estimating import LowRank, estimate_low_rank

        projection = LowRank(self.target_modules, self.rank, self.layerwise, self._numbers, self._beside)
        return estimate_low_rank(estimate, projection)

    def _numbers(self, rows: int, columns: int) -> int:
        """The numbers that a projected weight's state has."""
        if self.proj == "random":
            return 2 * self.rank * max(rows, columns) + 1
        rank = min(self.rank, rows, columns)
        return 2 * rank * max(rows, columns) + 1 + rank * min(rows, columns)

    def _beside(self, rows: int, columns: int, width: float) -> float:
        """Bytes of its update: the scaled gradient twice, and the projected one with its direction."""
        from tunesmith_library_optimizing.estimating import of_svd

        scaled = 2 * width * (rows * columns + self.rank * max(rows, columns))
        return scaled if self.proj == "random" else max(scaled, of_svd(rows, columns, width))

    @hookimpl
    def build_optimizer(self, model: Any, settings: OptimizerSettings) -> Any:
        """Raises: TunesmithError when `target_modules` fits no layer."""
        from tunesmith_library_optimizing.groups import low_rank_optimizer

        from .optimizer import ApolloAdamW

        return low_rank_optimizer(
            ApolloAdamW,
            "apollo",
            model,
            settings,
            target_modules=self.target_modules,
            layerwise=self.layerwise,
            rank=self.rank,
            update_proj_gap=self.update_proj_gap,
            proj=self.proj,
            scale=self.scale,
            scale_type=self.scale_type,
        )


@plugin
class ApolloMini(Apollo):
    """APOLLO in a subspace of rank 1 with one step size per matrix: the memory of SGD."""

    rank: Annotated[int, at_least(1, most=65_536)] = 1  # rank of the random subspace
    scale: Annotated[float, above(0, most=1_000_000)] = 128.0  # the updates are multiplied by its root
    scale_type: Literal["channel", "tensor"] = "tensor"  # one step size per row or column, or one per matrix
