"""What training costs beside weights and activations: gradients, optimizer states, floating-point operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from tunesmith_library_estimates.activations import first_trained, layer_of
from tunesmith_library_estimates.estimation import Estimate, Memory, Phase, Weight

_FROM_THE_FIRST_STEP: tuple[Phase, ...] = ("forward", "backward", "step", "generate", "save")


def trained_only(estimate: Estimate, chosen: Mapping[str, float | None]) -> Estimate:
    """The estimate with exactly these weights trained.

    Args:
        chosen: their names, and the bits that a number of each then has; None leaves them.
    """

    def changed(weight: Weight) -> Weight:
        bits = chosen.get(weight.name)
        return replace(weight, trained=weight.name in chosen, bits=weight.bits if bits is None else bits)

    return replace(estimate, weights=tuple(map(changed, estimate.weights)))


def gradients(estimate: Estimate, accumulates: bool) -> Estimate:
    """A gradient for each trained number, as wide as that is.

    Args:
        accumulates: several forward passes make a step, so that gradients are there in all but the first.
    """
    phases: tuple[Phase, ...] = ("forward", "backward", "step") if accumulates else ("backward", "step")
    return estimate.plus("gradients", Memory(_trained_bytes(estimate), phases=phases, of="gradients"))


def optimizer_states(estimate: Estimate, copies: float) -> Estimate:
    """What an optimizer remembers of each trained number.

    Args:
        copies: how many numbers as wide as the weight: 2 for Adam's mean and mean square.
    """
    return optimizer_bytes(estimate, lambda weight: copies * weight.bytes)


def optimizer_bytes(estimate: Estimate, of: Callable[[Weight], float]) -> Estimate:
    """What an optimizer remembers of each trained weight, in bytes; it is there from the first step on."""
    states = sum(of(weight) for weight in estimate.weights if weight.trained)
    return estimate.plus("optimizer states", Memory(states, phases=_FROM_THE_FIRST_STEP, of="states"))


def passes(estimate: Estimate, recomputes: bool) -> float:
    """What a trained token costs, in forward passes.

    One there; one for the gradients of the activations, down to the first layer that is trained; one for those of the
    weights, as far as they are trained; and one more with gradient checkpointing.
    """
    first = first_trained(estimate.weights)
    matrices = [weight for weight in estimate.weights if len(weight.shape) > 1 and weight.kind != "embedding"]
    whole = sum(weight.count for weight in matrices) or 1
    above = sum(weight.count for weight in matrices if (layer := layer_of(weight)) is None or layer >= first)
    trained = sum(weight.count for weight in matrices if weight.trained)
    return 1.0 + recomputes + (above + trained) / whole


def _trained_bytes(estimate: Estimate) -> float:
    return sum(weight.bytes for weight in estimate.weights if weight.trained)
