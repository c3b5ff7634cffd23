"""Which layers of a model get an adapter: patterns of names to modules, and the error that lists what there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith import TunesmithError
from tunesmith.errors import choices
from tunesmith_library_weights.patterns import matches, matches_any, parts_of, refuse_unknown


def pick_targets(model: Any, include: Sequence[str] | str, exclude: Sequence[str]) -> list[str]:
    """Choose the layers that get an adapter.

    Args:
        include: patterns as `tunesmith_library_weights.matches` reads them; `all` is every linear layer but the
            output head.
        exclude: patterns of layers to leave out again, as the model's `fresh_modules` are, which are trained whole.

    Returns: names for peft, as short as they can be without fitting another module.

    Raises: TunesmithError when a pattern fits nothing, with the names there are.
    """
    layers = adaptable_layers(model)
    patterns = [include] if isinstance(include, str) else list(include)
    refuse_unknown("adapter.target_modules", [name for name in patterns if name != "all"], layers, "layer")
    refuse_unknown("adapter.exclude_modules", exclude, [name for name, _ in model.named_modules()], "layer")
    linear = set(linear_layers(model))
    picked = [
        name
        for name in layers
        if any(name in linear if pattern == "all" else matches(name, pattern) for pattern in patterns)
        and not matches_any(name, [*exclude, *getattr(model, "fresh_modules", ())])
    ]
    if not picked:
        raise TunesmithError(f"adapter.target_modules={patterns} without {list(exclude)} leaves no layer to adapt")
    return _shortened(picked, [name for name, _ in model.named_modules()])


def linear_layers(model: Any) -> list[str]:
    """Names of the linear layers, quantised ones included, without the output head."""
    head = model.get_output_embeddings()
    return [name for name, module in model.named_modules() if _is_linear(module) and module is not head]


def adaptable_layers(model: Any) -> list[str]:
    """Names of all layers that can be asked for: linear layers, the output head and the embeddings."""
    from torch import nn

    named = model.named_modules()
    return [name for name, module in named if _is_linear(module) or isinstance(module, nn.Embedding)]


def targeted(model: Any, targets: Sequence[str]) -> list[str]:
    """Names of the layers that names for peft, as `pick_targets` gives them, stand for."""
    return [name for name in adaptable_layers(model) if any(_ends_with(name, target) for target in targets)]


def refuse_unknown_modules(option: str, names: Sequence[str], model: Any) -> None:
    """Check names that peft compares with the end of a module's name.

    Raises: TunesmithError when a name fits no module.
    """
    modules = [name for name, _ in model.named_modules() if name]
    for asked in names:
        if not any(_ends_with(name, asked) for name in modules):
            known = choices(asked.rpartition(".")[2], parts_of(modules), "parts of their names")
            raise TunesmithError(f"adapter.{option}={asked}: no such module in the model.\n  {known}")


def keeps_tied(model: Any, modules_to_save: Sequence[str]) -> bool:
    """Whether a module that is trained whole shares its weight with another: output head and embeddings often do.

    They then stay one weight, as the model's architecture has it.
    """
    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    if head is None or head.weight is not embeddings.weight:
        return False
    names = [name for name, module in model.named_modules() if module is head or module is embeddings]
    return any(_ends_with(name, asked) for asked in modules_to_save for name in names)


def token_layers(model: Any) -> list[str]:
    """Names of the layers that have a row per token: the embeddings, and the output head where it has its own."""
    embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()
    tied = head is None or head.weight is embeddings.weight
    layers = [embeddings] if tied else [embeddings, head]
    return [name for name, module in model.named_modules() if any(module is layer for layer in layers)]


def per_layer(option: str, patterns: Mapping[str, int], targets: Sequence[str], model: Any) -> dict[str, int]:
    """What single layers get instead of the common value, as peft takes it: by their whole names.

    Args:
        patterns: pattern -> value; of several that fit a layer the last one counts.
        targets: what `pick_targets` gave.

    Raises: TunesmithError when a pattern fits no adapted layer.
    """
    adapted = targeted(model, targets)
    refuse_unknown(f"adapter.{option}", patterns, adapted, "adapted layer")
    return {name: value for pattern, value in patterns.items() for name in adapted if matches(name, pattern)}


def _ends_with(name: str, end: str) -> bool:
    return name == end or name.endswith(f".{end}")


def _is_linear(module: Any) -> bool:
    """Quantised linear layers have no common class; what they share are the sizes of `nn.Linear`."""
    from transformers.pytorch_utils import Conv1D

    sized = hasattr(module, "in_features") and hasattr(module, "out_features")
    # A layer that holds another sized one (a wrapper) is not the layer itself.
    return isinstance(module, Conv1D) or (sized and not any(map(_is_linear, module.children())))


def _shortened(picked: Sequence[str], modules: Sequence[str]) -> list[str]:
    """Last parts instead of whole names where they fit the same modules: easier to read, and what other tools know."""
    lasts = {name.rpartition(".")[2] for name in picked}
    fitting = {name for name in modules if name.rpartition(".")[2] in lasts}
    return sorted(lasts) if fitting == set(picked) else sorted(picked)
