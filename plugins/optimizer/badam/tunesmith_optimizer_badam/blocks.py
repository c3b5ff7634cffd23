"""Which weights are a block, and whose turn it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from tunesmith import TunesmithError

_LAYER = re.compile(r"^(.*?\.\d+)\.")  # up to the first number: `model.layers.0`, `transformer.h.3`, `visual.blocks.7`

Groups = list[dict[str, Any]]


@dataclass(frozen=True)
class Order:
    """The course of the blocks, a function of the step alone."""

    count: int  # blocks
    interval: int  # steps from one to the next
    mode: str  # random, ascending, descending, fixed
    start: int | None = None

    def __post_init__(self) -> None:
        if self.start is not None and not 0 <= self.start < self.count:
            raise TunesmithError(
                f"optimizer.start_block={self.start}: there is no such block.\n  possible: 0 to {self.count - 1}"
            )

    def at(self, step: int) -> int:
        """The block that is trained after `step` steps."""
        turn = step // self.interval
        if self.mode == "random":
            generator = torch.Generator().manual_seed(turn // self.count)
            return int(torch.randperm(self.count, generator=generator)[turn % self.count])
        if self.mode == "descending":
            return ((self.count - 1 if self.start is None else self.start) - turn) % self.count
        return ((self.start or 0) + (0 if self.mode == "fixed" else turn)) % self.count


def layer_blocks(model: Any, include_embedding: bool, include_lm_head: bool) -> tuple[Groups, list[str]]:
    """Divide the trainable weights by layers; what is in no block is frozen.

    Returns: parameter groups with `block`, and the names of the blocks.

    Raises: TunesmithError when no weight is in a numbered layer.
    """
    embedding = {id(weight) for weight in model.get_input_embeddings().parameters()}
    blocks: dict[str, list[Tensor]] = {}
    for name, weight in model.named_parameters():
        layer = _LAYER.match(name)
        if not weight.requires_grad:
            continue
        if layer:
            blocks.setdefault(layer[1], []).append(weight)
        elif id(weight) in embedding:
            if include_embedding:
                blocks.setdefault("embeddings", []).append(weight)
        elif include_lm_head:
            blocks.setdefault("head", []).append(weight)
    if not blocks:
        raise TunesmithError(
            "optimizer=badam finds no trainable weight in a numbered layer of this model.\n"
            "  optimizer.mode=ratio needs no layers"
        )
    held = {id(weight) for weights in blocks.values() for weight in weights}
    for weight in model.parameters():
        weight.requires_grad_(id(weight) in held)
    groups = [group for number, weights in enumerate(blocks.values()) for group in _by_decay(weights, block=number)]
    return groups, list(blocks)


def share_blocks(model: nn.Module, ratio: float, mask_mode: str) -> tuple[Groups, list[str]]:
    """Divide every trainable matrix into equal shares; vectors are trained whole, all the time.

    Returns: parameter groups with `shares` and `mask_mode`, and the names of the shares.
    """
    count = max(round(1 / ratio), 1)
    groups = _by_decay([weight for weight in model.parameters() if weight.requires_grad], mask_mode=mask_mode)
    for group in groups:
        group["shares"] = count if group["decayed"] else 1
    return groups, [f"share {number}" for number in range(count)]


def share_of(numel: int, number: int, count: int, mask_mode: str) -> slice:
    """The `number`-th of `count` shares of a flat tensor, as a slice, so that it is a view without an index."""
    if mask_mode == "scatter":
        return slice(number, None, count)
    return slice(numel * number // count, numel * (number + 1) // count)


def _by_decay(weights: list[Tensor], **entries: Any) -> Groups:
    """Matrices and vectors apart: vectors have no weight decay."""
    divided = ((decayed, [weight for weight in weights if (weight.ndim > 1) == decayed]) for decayed in (True, False))
    return [{"params": held, "decayed": decayed, **entries} for decayed, held in divided if held]
