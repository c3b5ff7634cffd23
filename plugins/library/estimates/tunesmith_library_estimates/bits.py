"""Weights in fewer bits: which ones a quantizer covers, and what it has to hold while it makes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from tunesmith_library_weights.patterns import matches_any

from tunesmith_library_estimates.activations import computed_experts
from tunesmith_library_estimates.estimation import Estimate, Memory, Weight


def in_few_bits(
    estimate: Estimate,
    bits: Callable[[Weight], float],
    skip: Iterable[str] = (),
    *,
    what: str = "in few bits",
    experts: bool = True,
    loads_whole: bool = False,
) -> Estimate:
    """The estimate with the matrices of linear layers and fused experts in few bits, but not the output layer's.

    Args:
        bits: of one number of a weight, with its share of the scales.
        skip: patterns of layers that stay as they are, as `tunesmith_library_weights.matches` reads them.
        what: how many bits, for the share of the weights that is said.
        experts: whether fused experts are among them.
        loads_whole: the model is loaded as it is and quantised afterwards.
    """
    patterns, kinds = list(skip), ("linear", "experts") if experts else ("linear",)
    covered = {
        weight.name
        for weight in estimate.weights
        if weight.kind in kinds and not matches_any(weight.name.removesuffix(".weight"), patterns)
    }

    def fewer(weight: Weight) -> Weight:
        return replace(weight, bits=bits(weight)) if weight.name in covered else weight

    made = replace(estimate, weights=tuple(map(fewer, estimate.weights))).reaching(f"quantizer, {what}", covered)
    made = computed_experts(made, "experts of a layer, dequantised", covered)
    if not loads_whole:
        return made
    saved = sum(weight.bytes for weight in estimate.weights) - sum(weight.bytes for weight in made.weights)
    return made.plus("weights before they are quantised", Memory(saved, phases=("load",), of="weights"))
