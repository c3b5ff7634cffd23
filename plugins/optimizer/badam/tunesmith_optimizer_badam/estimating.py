"""What one block at a time costs; without torch."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tunesmith_library_estimates.activations import activations
from tunesmith_library_estimates.bits import kept_copies
from tunesmith_library_estimates.changes import Change
from tunesmith_library_estimates.estimation import Estimate, Memory, Weight
from tunesmith_library_estimates.training import in_turn, optimizer_bytes, passes, trained_only

if TYPE_CHECKING:
    from tunesmith.planning import Plan

    from . import BAdam

_LAYER = re.compile(r"^(.*?\.\d+)\.")


def estimate_blocks(badam: BAdam, estimate: Estimate, plan: Plan) -> Estimate:
    """Gradients and states of the largest block, or of a share of each matrix with the gradients of all of it.

    Of weights that are not in float32 the state holds a copy that is.
    """
    if badam.mode == "ratio":
        return _shares(estimate, max(round(1 / badam.update_ratio), 1))
    blocks: dict[str, list[Weight]] = defaultdict(list)
    for weight in estimate.weights:
        layer = _LAYER.match(weight.name)
        if not weight.trained:
            continue
        if layer:
            blocks[layer[1]].append(weight)
        elif weight.kind == "embedding":
            if badam.include_embedding:
                blocks["embeddings"].append(weight)
        elif badam.include_lm_head:
            blocks["head"].append(weight)
    if not blocks:
        return estimate.without("optimizer=badam: the layers of this model are not known")
    largest = max(blocks.values(), key=lambda weights: sum(weight.bytes for weight in weights))
    active = {weight.name for weight in largest}
    held = [weight.name for weights in blocks.values() for weight in weights]
    beside = max(in_turn(weights, _beside) for weights in blocks.values())
    made = optimizer_bytes(estimate, lambda weight: _state(weight) if weight.name in active else 0.0, beside)
    made = made.updating("optimizer, in blocks", held, "frozen")
    made = trained_only(_passing(made, list(blocks.values()), plan), dict.fromkeys(held))
    gradients = made.memory.get("gradients", Memory(phases=("backward", "step"), of="gradients"))
    made = made.plus("gradients", replace(gradients, bytes=sum(weight.bytes for weight in largest)))
    if active & {weight.name for weight in blocks.get("embeddings", []) + blocks.get("head", [])}:
        without = ("optimizer.include_embedding=false", "optimizer.include_lm_head=false")
        made = made.offering(Change(without, "method", "embeddings and output layer stay as they are"))
    return made


def _passing(estimate: Estimate, blocks: Sequence[Sequence[Weight]], plan: Plan) -> Estimate:
    """What passes cost on average, and what is kept of them while the lowest block is trained, which is the most."""
    checkpointing = plan.get("trainer.gradient_checkpointing", False)
    recomputes = checkpointing not in (False, "auto")

    def one(weights: Sequence[Weight]) -> Estimate:
        alone = trained_only(estimate, dict.fromkeys(weight.name for weight in weights))
        return replace(alone, memory={}, recomputed={})

    def kept(again: bool) -> Mapping[str, Memory]:
        return kept_copies(activations(one(blocks[0]), again, checkpointing == "offload"), again).memory

    of_each = [passes(one(weights), recomputes) for weights in blocks]
    return replace(
        estimate,
        passes=sum(of_each) / len(of_each),
        memory={**estimate.memory, **kept(recomputes)},
        recomputed=kept(True) if estimate.recomputed else {},
    )


def _shares(estimate: Estimate, count: int) -> Estimate:
    def part(weight: Weight) -> float:
        return 1 / count if len(weight.shape) > 1 else 1.0

    trained = [weight for weight in estimate.weights if weight.trained]
    beside = in_turn(trained, lambda weight: part(weight) * _beside(weight))
    made = optimizer_bytes(estimate, lambda weight: part(weight) * _state(weight), beside)
    return made.offering(
        Change(("optimizer.mode=layer",), "method", "one layer at a time is trained, and has gradients")
    )


def _state(weight: Weight) -> float:
    return (8.0 if weight.bits >= 32 else 12.0) * weight.count


def _beside(weight: Weight) -> float:
    """The denominators of a weight, and its gradient where that is not in float32."""
    return (4.0 if weight.bits >= 32 else 8.0) * weight.count
