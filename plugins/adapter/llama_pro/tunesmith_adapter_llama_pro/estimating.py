"""What new layers cost: copies of layers, trained in float32, each behind the one it copies; without torch."""

from __future__ import annotations

from dataclasses import replace

from tunesmith_library_estimates.activations import layer_of
from tunesmith_library_estimates.changes import Change
from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_estimates.training import trained_only


def estimate_new_layers(estimate: Estimate, count: int) -> Estimate:
    """Put trained layers in, as `expansion.expand` does, and renumber those behind them."""
    layers: dict[int, list[Weight]] = {}
    frozen = trained_only(estimate, {})
    for weight in frozen.weights:
        number = layer_of(weight)
        if number is not None and weight.stands_in == "language":
            layers.setdefault(number, []).append(weight)
    if count > len(layers):
        return frozen.without("adapter=llama_pro: the layers of this model are not known")
    copied = {round((number + 1) * len(layers) / count) - 1 for number in range(count)}
    inside = {weight.name for weights in layers.values() for weight in weights}
    weights = [weight for weight in frozen.weights if weight.name not in inside]
    position = 0
    for number in sorted(layers):
        weights += [_at(weight, number, position) for weight in layers[number]]
        position += 1
        if number in copied:
            weights += [replace(_at(weight, number, position), bits=32.0, trained=True) for weight in layers[number]]
            position += 1
    deeper = position / len(layers)
    made = replace(
        frozen,
        weights=tuple(weights),
        flops_per_token=estimate.flops_per_token * sum(item.count for item in weights) / max(estimate.parameters, 1),
        flops_per_pair=estimate.flops_per_pair * deeper,
    )
    if count == 1:
        return made
    return made.offering(
        Change((f"adapter.new_layers={count // 2}",), "method", f"{count // 2} new layers, not {count}")
    )


def _at(weight: Weight, number: int, position: int) -> Weight:
    """A weight of a layer, at another position: the first number of its name that is the layer's is changed."""
    parts = weight.name.split(".")
    parts[parts.index(str(number))] = str(position)
    return replace(weight, name=".".join(parts))
