"""BAdam: block coordinate descent with AdamW inside a block.

Luo, Yu and Li 2024, "BAdam: A Memory Efficient Full Parameter Optimization Method for Large Language Models"
(arXiv 2404.02827).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

from tunesmith import announce, hookimpl, plugin
from tunesmith.types import OptimizerSettings, Problem

if TYPE_CHECKING:
    from tunesmith.planning import Plan

_BESIDE_THE_MODEL = ("lora", "oft")  # adapters that train few weights of their own, and none of the model's


@plugin
class BAdam:
    """AdamW on one block of weights at a time."""

    mode: Literal["layer", "ratio"] = "layer"  # a block is a transformer layer, or a share of every matrix
    switch_interval: int = 50  # optimizer steps from one block to the next, K of the paper
    # order of the blocks: shuffled anew in each round, from the first, from the last, or always the same
    switch_mode: Literal["random", "ascending", "descending", "fixed"] = "random"
    start_block: int | None = None  # block to begin with, counted from 0; null is the first of the order
    include_embedding: bool = False  # mode layer: the embeddings are a block too, else they stay frozen
    include_lm_head: bool = False  # mode layer: output head and last norm are a block too, else they stay frozen
    update_ratio: float = 0.05  # mode ratio: share of each matrix that is trained at a time
    mask_mode: Literal["adjacent", "scatter"] = "adjacent"  # mode ratio: numbers side by side, or evenly spread ones

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        found = self._check_options()
        adapter = plan.name("adapter")
        if adapter in _BESIDE_THE_MODEL:
            message = (
                f"optimizer=badam trains the model's own layers in turn, and adapter={adapter} trains none of them."
            )
            found.append(Problem("optimizer", message, "adapter=full, or leave the optimizer out"))
        processes = int(os.environ.get("WORLD_SIZE", "1"))
        if processes > 1:
            message = f"optimizer=badam freezes and unfreezes weights, which {processes} processes cannot follow."
            found.append(Problem("optimizer", message, "one process, or optimizer=adam_mini"))
        for option in ("fsdp", "deepspeed"):
            if plan.get(f"trainer.{option}"):
                message = f"optimizer=badam does not go with trainer.{option}."
                found.append(Problem(f"trainer.{option}", message, f"trainer.{option}=null, or another optimizer"))
        return found

    def _check_options(self) -> list[Problem]:
        found = []
        if self.switch_interval < 1:
            message = f"optimizer.switch_interval={self.switch_interval} must be 1 or more."
            found.append(Problem("optimizer.switch_interval", message))
        if not 0 < self.update_ratio <= 1:
            message = f"optimizer.update_ratio={self.update_ratio} is no share of a matrix."
            found.append(Problem("optimizer.update_ratio", message, "possible: above 0 to 1"))
        if self.switch_mode == "random" and self.start_block is not None:
            message = f"start_block={self.start_block} has no effect with switch_mode=random."
            advice = "optimizer.switch_mode=ascending, descending or fixed"
            found.append(Problem("optimizer.start_block", message, advice, "warning"))
        return found

    @hookimpl
    def build_optimizer(self, model: Any, settings: OptimizerSettings) -> Any:
        """Raises: TunesmithError when no layer is found, or `start_block` is no block."""
        from .blocks import Order, layer_blocks, share_blocks
        from .optimizer import BlockAdamW

        if self.mode == "layer":
            groups, names = layer_blocks(model, self.include_embedding, self.include_lm_head)
            announce("badam", f"{len(names)} blocks, {names[0]} to {names[-1]}", "one is trained at a time")
        else:
            groups, names = share_blocks(model, self.update_ratio, self.mask_mode)
            announce("badam", f"1/{len(names)} of each matrix", "is trained at a time")
        for group in groups:
            group["weight_decay"] = settings.weight_decay if group.pop("decayed") else 0.0
        defaults = {
            "lr": settings.learning_rate,
            "betas": (settings.adam_beta1, settings.adam_beta2),
            "eps": settings.adam_epsilon,
        }
        order = Order(len(names), self.switch_interval, self.switch_mode, self.start_block)
        return BlockAdamW(groups, defaults, order)
