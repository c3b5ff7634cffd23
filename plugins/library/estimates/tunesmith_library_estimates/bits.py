"""Weights in fewer bits: which ones a quantizer covers, and what it has to hold while it makes them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from tunesmith_library_weights.patterns import matches_any

from tunesmith_library_estimates.activations import computed_experts, first_trained, layer_of
from tunesmith_library_estimates.estimation import Estimate, Memory, Phase, Weight
from tunesmith_library_estimates.training import is_of

IN_USE = "a layer's weights, dequantised"
"""Room for the numbers of one matrix, made anew at each use."""


def in_few_bits(
    estimate: Estimate,
    bits: Callable[[Weight], float],
    skip: Iterable[str] = (),
    towers: Collection[str] = ("language",),
    *,
    what: str = "in few bits",
    experts: bool = True,
    loads_whole: bool = False,
    kept_bits: float = 0.0,
    in_use: Callable[[Weight], float] | None = None,
    in_making: Callable[[Weight], float] | None = None,
) -> Estimate:
    """The estimate with the matrices of linear layers and fused experts in few bits, but not the output layer's.

    Args:
        bits: of one number of a weight, with its share of the scales.
        skip: patterns of layers that stay as they are, as `tunesmith_library_weights.matches` reads them.
        towers: the parts of the model whose layers are quantised.
        what: how many bits, for the share of the weights that is said.
        experts: whether fused experts are among them.
        loads_whole: the model is loaded as it is and quantised afterwards.
        kept_bits: of a copy of each number that a forward pass makes, and keeps for the backward pass.
        in_use: bytes of a linear layer's matrix while it is computed with; None is in the numbers of the products.
        in_making: bytes beside it while it is quantised, after the model is loaded.
    """
    patterns, kinds = list(skip), ("linear", "experts") if experts else ("linear",)
    covered = {
        weight.name
        for weight in estimate.weights
        if weight.kind in kinds
        and is_of(weight, towers)
        and not matches_any(weight.name.removesuffix(".weight"), patterns)
    }

    def fewer(weight: Weight) -> Weight:
        return replace(weight, bits=bits(weight), kept_bits=kept_bits) if weight.name in covered else weight

    computed = 4 if estimate.precision == "fp32" else 2
    linear = [weight for weight in estimate.weights if weight.name in covered and weight.kind == "linear"]
    used = max((in_use(weight) if in_use else computed * weight.count for weight in linear), default=0.0)
    made = replace(estimate, weights=tuple(map(fewer, estimate.weights))).reaching(f"quantizer, {what}", covered)
    made = computed_experts(made, "experts of a layer, dequantised", covered)
    made = made.plus(IN_USE, Memory(used, phases=("forward", "backward", "generate"), of="weights"))
    if in_making and linear:
        most = max(map(in_making, linear))
        made = made.plus("a layer while it is quantised", Memory(most, phases=("load",), of="weights"))
    if not loads_whole:
        return made
    saved = sum(weight.bytes for weight in estimate.weights) - sum(weight.bytes for weight in made.weights)
    return made.plus("weights before they are quantised", Memory(saved, phases=("load",), of="weights"))


def kept_copies(estimate: Estimate, recomputes: bool) -> Estimate:
    """Add the copies of weights that forward passes keep, of the layers that gradients reach.

    Args:
        recomputes: gradient checkpointing: of one layer at a time.
    """
    first, layers = first_trained(estimate.weights), defaultdict[int | None, float](float)
    for weight in estimate.weights:
        number = layer_of(weight)
        if number is None or number >= first:
            layers[number] += weight.count * weight.kept_bits / 8
    if not any(layers.values()):
        return estimate
    size = max(layers.values()) if recomputes else sum(layers.values())
    phases: tuple[Phase, ...] = ("forward", "backward") if recomputes else ("forward",)
    return estimate.plus("weights, as they are computed with", Memory(size, phases=phases, of="activations"))
