"""What share of a model's weights a choice reaches, and where the rest is: said in every run and every plan.

Counted are numbers in matrices, of which fused experts have one each; embeddings, norms and biases are not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from tunesmith import announce

from tunesmith_library_weights.cut import shape_of, size_of

MESSAGES = (
    *("{what}: {share} of the weights ({rest})", "{what}: {share} of the trained weights ({rest})"),
    *("none is left out", "not: {places}", "by AdamW: {places}"),
)
_FEW = 4  # places that are named; the others are counted


def matrices(model: Any) -> dict[str, int]:
    """How many numbers each matrix of a model has, by the dotted name of its linear layer or else of its parameter.

    A quantised layer counts for what it stands for; an output head that shares the embeddings' weight is not there.
    """
    from torch import nn

    from tunesmith_library_weights.experts import fused_experts

    tables = {
        id(weight) for layer in model.modules() if isinstance(layer, nn.Embedding) for weight in layer.parameters()
    }
    found = {item.name: item.shape.numel() for item in fused_experts(model)}
    inside: tuple[str, ...] = tuple(f"{name.rpartition('.')[0]}.parametrizations." for name in found)
    for path, module in model.named_modules():
        sizes: tuple[Any, Any] = (getattr(module, "in_features", None), getattr(module, "out_features", None))
        around = any(hasattr(child, "in_features") for child in module.children())  # a wrapper
        if all(isinstance(size, int) for size in sizes) and not around:
            if id(module._parameters.get("weight")) not in tables:
                found[path] = sizes[0] * sizes[1]
            continue
        for name, parameter in module._parameters.items():
            whole = f"{path}.{name}".lstrip(".")
            plain = parameter is not None and len(shape_of(parameter)) > 1 and parameter.is_floating_point()
            counted = plain and id(parameter) not in tables and not name.endswith("bias")
            if counted and whole not in found and not whole.startswith(inside):
                found[whole] = size_of(parameter)
    return found


def share(
    counts: Mapping[str, int], reached: Collection[str], of: str = "the weights", rest: str = "not"
) -> tuple[str, str]:
    """How much of what is counted is reached, `96% of the weights`, and what is not: `not: lm_head (4%)`.

    Args:
        counts: numbers by dotted name.
        reached: names of those that are.
        of: what is counted.
        rest: what becomes of the others.
    """
    total = sum(counts.values()) or 1
    others: dict[str, int] = defaultdict(int)
    for name, count in counts.items():
        if name not in reached:
            others[_place(name)] += count
    missed = sum(others.values())
    if not missed:
        return f"100% of {of}", "none is left out"
    largest = sorted(others, key=lambda place: (-others[place], place))
    named = [f"{place} ({percent(others[place], total)})" for place in largest[:_FEW]]
    named += [f"{len(largest) - _FEW} more"] if len(largest) > _FEW else []
    return f"{percent(total - missed, total)} of {of}", f"{rest}: {', '.join(named)}"


def say_bits(model: Any, what: str, kinds: tuple[type, ...] = (), names: Collection[str] = ()) -> None:
    """Announce what share of a model's weights is in few bits: packed experts, and the layers that are named or of
    certain classes.

    Args:
        what: in which form, such as `in 4 bits`.
    """
    from tunesmith_library_weights.experts import fused_experts

    reached = {item.name for item in fused_experts(model) if item.packed} | set(names)
    reached |= {name for name, module in model.named_modules() if isinstance(module, kinds)}
    announce(what, *share(matrices(model), reached))


def percent(part: float, total: float) -> str:
    """A share for people: never 100% of what is not whole, nor 0% of what is something."""
    value = 100 * part / total
    digits = 0 if 1 <= value <= 99 else 2
    rounded = round(value, digits)
    if part < total and rounded >= 100:
        return "99.99%"
    return "0.01%" if part > 0 and rounded == 0 else f"{rounded:.{digits}f}%".replace(".00%", "%")


def _place(name: str) -> str:
    """A dotted name without the numbers of its layers: `mlp.gate` for `model.layers.3.mlp.gate.weight`.

    Of a layer in a sequence of few, such as `model.visual.merger.mlp.0`, it is what it stands in: `merger.mlp`.
    """
    parts = name.removesuffix(".weight").split(".")
    numbers = [index for index, part in enumerate(parts) if part.isdigit()]
    inside = [part for part in (parts[numbers[0] + 1 :] if numbers else parts[-1:]) if not part.isdigit()]
    return ".".join(inside or [part for part in parts if not part.isdigit()][-2:])
