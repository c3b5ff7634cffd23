"""Activations: what a forward pass keeps for the backward pass, and what that needs beside it.

Memory is told at two moments. In `forward` it is the turning point, where all layers have kept what they keep, and the
loss or the first of the backward pass comes on top; in `backward` its end, where gradients are there and of the
activations one layer's are left. Layers are alike, so that in between there is no more than at one of the two.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from functools import cache

from tunesmith_library_estimates.estimation import Estimate, Memory, Weight
from tunesmith_library_estimates.kept import Kept, Numbers, kept_by, of_norms

KEPT, AT_FIRST, AT_LAST = "activations", "first layer on the way back", "last layer on the way back"
"""What of activations takes memory, as the user reads it."""

_LAYER = re.compile(r"(.*?\.)(\d+)\.(.+)")
_AT_A_NORM = 16  # bytes of a number of the stream while a norm is gone back through, in float32 and in its own type


def activations(estimate: Estimate, recomputes: bool, offloads: bool = False) -> Estimate:
    """Add the activations of the layers, and under autocast the copies in 16 bits of what is trained in float32.

    Layers below the first one that is trained keep nothing.

    Args:
        recomputes: gradient checkpointing: of each layer only its input is kept, and in the backward pass all of one.
        offloads: of a GPU's run, with `recomputes`: these inputs are kept in the host's memory.
    """
    if not estimate.weights:  # which is said already
        return estimate
    layers = layers_of(estimate.weights)
    if not layers:
        return estimate.without("activations: the layers of this model are not known")
    numbers, hidden = Numbers.of(estimate), estimate.hidden_size
    first = first_trained(estimate.weights)
    kept = [_kept(estimate, name, weights, numbers) for name, weights in layers.items() if _number(name) >= first]
    made = estimate
    for what in sorted({what for each in kept for what in each.unknown}):
        made = made.without(f"activations of {what}, exactly: no form of theirs is known, and a bound is taken")
    if not kept:
        return made.plus(KEPT, Memory(phases=("forward",), of="activations"))
    outside = {weight.name: weight for weight in estimate.weights if layer_of(weight) is None}
    inputs = 0 if offloads else len(kept) * hidden * numbers.stream
    every = sum(each.bytes for each in kept) if not recomputes else inputs
    pairs = sum(each.pairs for each in kept) if not recomputes else 0.0
    if estimate.keeps_on_host and not recomputes:
        waiting = Memory(0, every, ("forward",), "activations", on_host=True, bytes_per_pair=pairs)
        made, every, pairs = made.plus(f"{KEPT} on the host", waiting), 0.0, 0.0
    every += of_norms(outside, hidden, numbers)
    if not recomputes and not any(
        weight.trained for weight in estimate.weights if weight.kind in ("embedding", "norm")
    ):
        every -= 4 * hidden  # what goes into the first norm has no gradient
    made = made.plus(KEPT, Memory(0, every, ("forward",), "activations", bytes_per_pair=pairs))
    made = _turning(made, kept, numbers, recomputes)
    copies = sum(2 * weight.count for weight in estimate.weights if _is_cast(estimate, weight))
    return made.plus("weights in 16 bits", Memory(copies, phases=("forward",), of="weights")) if copies else made


def _turning(estimate: Estimate, kept: list[Kept], numbers: Numbers, recomputes: bool) -> Estimate:
    """Add what is there at the beginning of the backward pass, and what is left at its end.

    In a layer the gradients of both factors of the widest product are there at once, and that of the stream; a norm
    takes several copies of the stream.
    """
    hidden = estimate.hidden_size
    layer = max(kept, key=lambda each: each.bytes) if recomputes else kept[0]
    at_a_norm = _AT_A_NORM * hidden
    through = layer.bytes + max(at_a_norm, numbers.computed * 2 * layer.width + numbers.stream * hidden)
    if recomputes:
        through -= hidden * numbers.stream  # its input is counted already
    begins = through if recomputes else at_a_norm
    at_once = numbers.scores.at_once if layer.pairs else 0.0
    first = Memory(0, begins, ("forward",), "activations", bytes_per_pair=layer.pairs * recomputes + at_once)
    last = Memory(0, through, ("backward",), "activations", bytes_per_pair=layer.pairs + at_once)
    return estimate.plus(AT_FIRST, first).plus(AT_LAST, last)


def activations_at_most(estimate: Estimate) -> Estimate:
    """Add the activations of layers of any kind: no form of theirs is known, and most keep less than this.

    Of each matrix above the first one that is trained, what goes in and what comes out, and once more as much for what
    stands between two of them; of fused experts as many as a token meets.
    """
    first, computed, numbers = first_trained(estimate.weights), _computed(estimate), 0
    for weight in estimate.weights:
        number = layer_of(weight)
        if weight.kind in ("linear", "experts") and (number is None or number >= first):
            met = estimate.experts_per_token if weight.kind == "experts" else 1
            numbers += met * sum(weight.shape[-2:])
    return estimate.plus(
        "activations", Memory(bytes_per_token=2 * computed * numbers, phases=("forward",), of="activations")
    )


def computed_experts(estimate: Estimate, what: str, names: Collection[str]) -> Estimate:
    """Add the fused experts of one layer in the numbers that are computed in: those that are made anew at each use.

    Args:
        what: they are, as in `experts of a layer, dequantised`.
        names: of the weights.
    """
    layers: dict[int | None, int] = defaultdict(int)
    for weight in estimate.weights:
        if weight.kind == "experts" and weight.name in names:
            layers[layer_of(weight)] += weight.count
    if not layers:
        return estimate
    return estimate.plus(
        what, Memory(max(layers.values()) * _computed(estimate), phases=("forward", "backward"), of="weights")
    )


def layer_of(weight: Weight) -> int | None:
    """The number of the layer that a weight belongs to; None outside of the layers."""
    return _number_in(weight.name)


@cache
def _number_in(name: str) -> int | None:
    found = _LAYER.fullmatch(name)
    return int(found[2]) if found else None


def layers_of(weights: Iterable[Weight]) -> dict[str, dict[str, Weight]]:
    """The layers of the language model by their names, `model.layers.0`, and the weights of each by their names in it.

    Layers of towers, which text does not meet, are not among them.
    """
    layers: dict[str, dict[str, Weight]] = defaultdict(dict)
    for weight in weights:
        found = _LAYER.fullmatch(weight.name)
        if found and weight.stands_in == "language":
            layers[f"{found[1]}{found[2]}"][found[3]] = weight
    return dict(layers)


def first_trained(weights: Iterable[Weight]) -> int:
    """The first layer that gradients have to reach: 0 where the embeddings are trained."""
    trained = [weight for weight in weights if weight.trained]
    inside = [number for weight in trained if (number := layer_of(weight)) is not None]
    lowest = any(weight.kind == "embedding" or "embed_tokens" in weight.name for weight in trained)
    return 0 if lowest else min(inside, default=10**9)


def unknown_blocks(estimate: Estimate) -> set[str]:
    """What there is in the layers whose form is not known: a bound is taken for it."""
    numbers, layers = Numbers.of(estimate), layers_of(estimate.weights).values()
    return {what for layer in layers for what in kept_by(layer, estimate.hidden_size, numbers).unknown}


def _number(layer: str) -> int:
    return int(layer.rpartition(".")[2])


def _kept(estimate: Estimate, layer: str, weights: Mapping[str, Weight], numbers: Numbers) -> Kept:
    """What a layer keeps of a token, with what plugins say that its modules keep beside."""
    beside = sum(size for module, size in estimate.keeping.items() if module.startswith(f"{layer}."))
    return kept_by(weights, estimate.hidden_size, numbers) + Kept(beside)


def _is_cast(estimate: Estimate, weight: Weight) -> bool:
    """Whether autocast makes a copy of it that lasts; that of the output layer is the loss's."""
    matrix = len(weight.shape) == 2 and weight.kind not in ("embedding", "head")
    return estimate.precision != "fp32" and weight.trained and weight.bits == 32 and matrix


def _computed(estimate: Estimate) -> int:
    return 4 if estimate.precision == "fp32" else 2
