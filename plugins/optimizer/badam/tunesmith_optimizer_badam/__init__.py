"""BAdam: block coordinate descent with AdamW inside a block.

Luo, Yu and Li 2024, "BAdam: A Memory Efficient Full Parameter Optimization Method for Large Language Models"
(arXiv 2404.02827).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tunesmith import announce, hookimpl, plugin
from tunesmith.ranges import Range, at_least
from tunesmith.traits import OptimizerTraits
from tunesmith.types import OptimizerSettings, Problem
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_optimizing.checks import needs_models_weights, needs_one_process, needs_whole_weights

if TYPE_CHECKING:
    from tunesmith.planning import Plan


@plugin
class BAdam:
    """AdamW on one block of weights at a time."""

    traits: ClassVar[OptimizerTraits] = OptimizerTraits(one_process=True)

    mode: Literal["layer", "ratio"] = "layer"  # a block is a transformer layer, or a share of every matrix
    # optimizer steps from one block to the next, K of the paper
    switch_interval: Annotated[int, at_least(1, most=1_000_000_000)] = 50
    # order of the blocks: shuffled anew in each round, from the first, from the last, or always the same
    switch_mode: Literal["random", "ascending", "descending", "fixed"] = "random"
    # block to begin with, counted from 0; null is the first of the order
    start_block: Annotated[int, at_least(0, most=65_536)] | None = None
    include_embedding: bool = False  # mode layer: the embeddings are a block too, else they stay frozen
    include_lm_head: bool = False  # mode layer: output head and last norm are a block too, else they stay frozen
    # mode ratio: share of each matrix that is trained at a time
    update_ratio: Annotated[float, Range(0, 1, low_excluded=True)] = 0.05
    mask_mode: Literal["adjacent", "scatter"] = "adjacent"  # mode ratio: numbers side by side, or evenly spread ones

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        beside = "optimizer=badam trains the model's own layers in turn, and adapter={adapter} trains none of them."
        frozen = "optimizer=badam freezes and unfreezes weights, which {processes} processes cannot follow."
        found = [
            *needs_models_weights(plan, beside),
            *needs_one_process(plan, frozen, "one process, or optimizer=adam_mini"),
            *needs_whole_weights(plan, "optimizer=badam trains whole weights in turn"),
        ]
        if self.switch_mode == "random" and self.start_block is not None:
            message = f"start_block={self.start_block} has no effect with switch_mode=random."
            advice = "optimizer.switch_mode=ascending, descending or fixed"
            found.append(Problem("optimizer.start_block", message, advice, "warning"))
        return found

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from .estimating import estimate_blocks

        return estimate_blocks(self, estimate, plan)

    @hookimpl
    def build_optimizer(self, model: Any, settings: OptimizerSettings) -> Any:
        """Raises: TunesmithError when no layer is found, or `start_block` is no block."""
        from tunesmith_library_optimizing.groups import adam_defaults
        from tunesmith_library_weights.shares import share

        from .blocks import Order, layer_blocks, share_blocks
        from .optimizer import BlockAdamW

        if self.mode == "layer":
            learning = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
            groups, names = layer_blocks(model, self.include_embedding, self.include_lm_head)
            announce("badam", f"{len(names)} blocks, {names[0]} to {names[-1]}", "one is trained at a time")
            held = {id(weight) for group in groups for weight in group["params"]}
            counts = {name: weight.numel() for name, weight in learning.items()}
            own = {name for name, weight in learning.items() if id(weight) in held}
            reached, frozen = share(counts, own, rest="frozen")
            announce("badam", f"{reached} are in blocks", frozen)
        else:
            groups, names = share_blocks(model, self.update_ratio, self.mask_mode)
            announce("badam", f"1/{len(names)} of each matrix", "is trained at a time")
        for group in groups:
            group["weight_decay"] = settings.weight_decay if group.pop("decayed") else 0.0
        order = Order(len(names), self.switch_interval, self.switch_mode, self.start_block)
        return BlockAdamW(groups, adam_defaults(settings), order)
