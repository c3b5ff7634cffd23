"""What training costs beside weights and activations: gradients, optimizer states, floating-point operations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace

from tunesmith_library_estimates.activations import first_trained, layer_of
from tunesmith_library_estimates.estimation import Estimate, Memory, Phase, Weight

BESIDE_A_STEP = "what a step computes in"
"""Room for updates before they are added to the weights."""

OF_EVALUATION = "a pass of an evaluation"
"""Room for what is computed of examples that are held out, where more of them are in a batch than are trained."""

_FROM_THE_FIRST_STEP: tuple[Phase, ...] = ("forward", "backward", "step", "generate", "save")


def is_of(weight: Weight, towers: Collection[str]) -> bool:
    """Whether a weight belongs to one of these parts of a model; `tower` is each that sees or hears."""
    return weight.stands_in in towers or ("tower" in towers and weight.stands_in in ("vision", "audio"))


def trained_only(estimate: Estimate, chosen: Mapping[str, float | None]) -> Estimate:
    """The estimate with exactly these weights trained.

    Args:
        chosen: their names, and the bits that a number of each then has; None leaves them.
    """

    def changed(weight: Weight) -> Weight:
        trained, bits = weight.name in chosen, chosen.get(weight.name) or weight.bits
        return (
            weight if (trained, bits) == (weight.trained, weight.bits) else replace(weight, trained=trained, bits=bits)
        )

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


def optimizer_bytes(estimate: Estimate, of: Callable[[Weight], float], beside: float = 0.0) -> Estimate:
    """What an optimizer remembers of each trained weight, in bytes; it is there from the first step on.

    Args:
        beside: bytes that a step needs beside that, such as the updates of a weight before they are added to it.
    """
    states = sum(of(weight) for weight in estimate.weights if weight.trained)
    made = estimate.plus("optimizer states", Memory(states, phases=_FROM_THE_FIRST_STEP, of="states"))
    return made.plus(BESIDE_A_STEP, Memory(beside, phases=("step",), of="states")) if beside else made


def in_turn(
    weights: Iterable[Weight], of: Callable[[Weight], float], left: Callable[[Weight], float] = lambda weight: 0.0
) -> float:
    """Bytes that a step needs at most where weights are updated one after the other: matrices, then vectors.

    Args:
        of: bytes while one is updated, beside its states.
        left: bytes of the one before it that are not free yet: variables that still hold them.
    """
    most = before = 0.0
    for weight in sorted(weights, key=lambda weight: len(weight.shape) < 2):
        most, before = max(most, of(weight) + before), left(weight)
    return most


def beside_adam(estimate: Estimate, weights: Iterable[Weight]) -> float:
    """Bytes that a step of torch's AdamW needs beside its states, where it is not told to be `fused`.

    On a CPU two numbers for each of a weight, of which one stays until the next weight has its own; elsewhere all
    weights are updated at once (`foreach`), with one number for each of theirs.
    """
    if estimate.machine.device != "cpu":
        return sum(weight.bytes for weight in weights)
    return in_turn(weights, lambda weight: 2 * weight.bytes, lambda weight: weight.bytes)


def passes(estimate: Estimate, recomputes: bool) -> float:
    """What a trained token costs, in forward passes.

    One there; one for the gradients of the activations, down to the first layer that is trained; one for those of the
    weights, as far as they are trained; and one more of the layers, without the output, with gradient checkpointing.
    """
    matrices = _matrices(estimate)
    above, trained = backward(estimate)
    layers = sum(weight.count for weight in matrices if weight.kind != "head") or 1
    again = layers / (layers + estimate.vocabulary * estimate.hidden_size) if recomputes else 0.0
    return 1.0 + again + above + trained


def backward(estimate: Estimate) -> tuple[float, float]:
    """The shares of the matrices that gradients go through, and that have gradients of their own."""
    first, matrices = first_trained(estimate.weights), _matrices(estimate)
    whole = sum(weight.count for weight in matrices) or 1
    above = sum(weight.count for weight in matrices if (layer := layer_of(weight)) is None or layer >= first)
    return above / whole, sum(weight.count for weight in matrices if weight.trained) / whole


def _matrices(estimate: Estimate) -> list[Weight]:
    return [weight for weight in estimate.weights if len(weight.shape) > 1 and weight.kind != "embedding"]


def _trained_bytes(estimate: Estimate) -> float:
    return sum(weight.bytes for weight in estimate.weights if weight.trained)
