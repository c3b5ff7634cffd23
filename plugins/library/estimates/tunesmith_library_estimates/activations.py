"""What a forward pass keeps for the backward pass: what transformers' layers make PyTorch save.

With E the bytes of a number that is computed (2 under autocast, else 4), a layer keeps of a token: each norm's input in
float32, and where the norm learns what its weight is multiplied with; E times queries, keys, values and the result of
attention, which is never a matrix of tokens by tokens here; E times the gate, its activation, the other branch and
their product; and the inputs of linear layers that learn, or beside which something learns. Where the stream between
layers is wider than that, autocast makes a copy of such an input for each of the layers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from tunesmith_library_estimates.estimation import Estimate, Memory, Weight

_LAYERS = ".layers."
_READ_THE_STREAM = ("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj")  # those of a group have the same input


def activations(estimate: Estimate, recomputes: bool, offloads: bool = False) -> Estimate:
    """Add the activations of the layers, and under autocast the copies in 16 bits of what is trained in float32.

    Layers below the first one that is trained keep nothing.

    Args:
        recomputes: gradient checkpointing: of each layer only its input is kept, and in the backward pass all of one.
        offloads: of a GPU's run, with `recomputes`: these inputs are kept in the host's memory.
    """
    layers: dict[int, dict[str, Weight]] = defaultdict(dict)
    for weight in estimate.weights:
        number = layer_of(weight)
        if number is not None:
            layers[number][weight.name.partition(_LAYERS)[2].partition(".")[2]] = weight
    if not estimate.weights:  # which is said already
        return estimate
    if not layers:
        return estimate.without("activations: the layers of this model are not known")
    first = first_trained(estimate.weights)
    kept = [_kept(estimate, weights) for number, weights in layers.items() if number >= first]
    outside = {weight.name: weight for weight in estimate.weights if layer_of(weight) is None}
    inputs = 0 if offloads else len(kept) * estimate.hidden_size * _stream(estimate)
    per_token = (inputs if recomputes else sum(kept)) + (_of_norms(estimate, outside, {}) if kept else 0)
    made = estimate.plus("activations", Memory(bytes_per_token=per_token, phases=("forward",), of="activations"))
    if recomputes and kept:
        made = made.plus(
            "activations of one layer", Memory(bytes_per_token=max(kept), phases=("backward",), of="activations")
        )
    copies = sum(2 * weight.count for weight in estimate.weights if _is_cast(estimate, weight))
    return (
        made.plus("weights in 16 bits", Memory(copies, phases=("forward", "backward"), of="weights"))
        if copies
        else made
    )


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
    return int(weight.name.partition(_LAYERS)[2].partition(".")[0]) if _LAYERS in weight.name else None


def first_trained(weights: Iterable[Weight]) -> int:
    """The first layer that gradients have to reach: 0 where the embeddings are trained."""
    trained = [weight for weight in weights if weight.trained]
    inside = [number for weight in trained if (number := layer_of(weight)) is not None]
    return 0 if any("embed_tokens" in weight.name for weight in trained) else min(inside, default=10**9)


def _computed(estimate: Estimate) -> int:
    return 4 if estimate.precision == "fp32" else 2


def _stream(estimate: Estimate) -> int:
    """Bytes of a number of the stream between layers: as wide as the embeddings."""
    widest = max((weight.bits for weight in estimate.weights if weight.kind == "embedding"), default=16)
    return int(max(widest // 8, 2))


def _is_cast(estimate: Estimate, weight: Weight) -> bool:
    matrix = len(weight.shape) == 2 and weight.kind != "embedding"
    return estimate.precision != "fp32" and weight.trained and weight.bits == 32 and matrix


def _kept(estimate: Estimate, weights: Mapping[str, Weight]) -> float:
    """Bytes that a layer keeps of a token."""
    computed = _computed(estimate)
    learning = {part for name, weight in weights.items() if weight.trained for part in name.split(".")}
    of_queries, of_keys = (_rows(weights, f"self_attn.{name}.weight") for name in ("q_proj", "k_proj"))
    beside = [weight for weight in weights.values() if weight.trained and _is_beside(weight)]
    numbers = 2.0 * (of_queries + of_keys) + _feed_forward(estimate, weights, learning)
    if computed < _stream(estimate):
        reading = sum(name in learning for group in _READ_THE_STREAM for name in group)
    else:
        reading = sum(any(name in learning for name in group) for group in _READ_THE_STREAM)
    numbers += reading * estimate.hidden_size
    numbers += sum(min(weight.shape) for weight in beside) / 2  # of thin matrices A and B what is between them
    return computed * numbers + _of_norms(estimate, weights, {"q_norm": of_queries, "k_norm": of_keys})


def _is_beside(weight: Weight) -> bool:
    """Whether it is a matrix of an adapter's."""
    return weight.kind == "other" and len(weight.shape) == 2


def _of_norms(estimate: Estimate, weights: Mapping[str, Weight], heads: Mapping[str, int]) -> float:
    total = 0.0
    for name, weight in weights.items():
        if weight.kind == "norm":
            width = heads.get(name.split(".")[-2])
            normalised = _stream(estimate) if width is None else _computed(estimate)
            total += (width or weight.shape[0]) * (4 + (normalised if weight.trained else 0))
    return total


def _rows(weights: Mapping[str, Weight], name: str) -> int:
    return weights[name].shape[0] if name in weights else 0


def _feed_forward(estimate: Estimate, weights: Mapping[str, Weight], learning: set[str]) -> float:
    """Numbers that a feed-forward network keeps of a token, or the experts that it meets."""
    experts = weights.get("mlp.experts.down_proj")
    if experts is None:
        return (3.0 + ("down_proj" in learning)) * _rows(weights, "mlp.gate_proj.weight")
    hidden = estimate.hidden_size
    width = experts.shape[1] if experts.shape[2] == hidden else experts.shape[2]  # (…, out, in), or (…, in, out)
    shared = 3.0 * _rows(weights, "mlp.shared_expert.gate_proj.weight")
    return estimate.experts_per_token * (4.0 * width + 2.0 * hidden) + shared
