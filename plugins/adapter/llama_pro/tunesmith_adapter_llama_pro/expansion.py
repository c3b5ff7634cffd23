"""Putting identity layers into a model, and the checks that it is still the same and can be loaded again."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from tunesmith import TunesmithError
from tunesmith.messages import logger
from tunesmith_library_weights.layers import find_layers
from tunesmith_library_weights.patterns import matches_any, parts_of

_PER_LAYER = ("layer", "pattern")  # parts of the names of configuration lists with one entry per layer


def expand(model: Any, count: int, zero_modules: Sequence[str]) -> tuple[str, list[int]]:
    """Put `count` new layers between a model's layers, in place, evenly spread.

    A new layer copies the one below it, with zero output projections: x + Attention(x) and x + MLP(x) are then x
    (arXiv 2401.02415, section 3.1, equations 3 and 4). The layers' numbers, by which they find their part of the
    key-value cache, and the configuration follow.

    Args:
        zero_modules: patterns of the parameters that become zero.

    Returns: the dotted name of the list of layers, and the positions of the new ones.

    Raises: TunesmithError when there are fewer layers than new ones, or nothing in a layer is to be zero.
    """
    path, layers = find_layers(model)
    if count > len(layers):
        raise TunesmithError(
            f"adapter.new_layers={count}: this model has {len(layers)} layers, and each is followed by one at most.\n"
            f"  possible: 1 to {len(layers)}"
        )
    copied = [round((number + 1) * len(layers) / count) - 1 for number in range(count)]
    origins, new = [], []  # of each layer of the expanded model, and the positions of new ones
    for index in range(len(layers)):
        origins.append(index)
        if index in copied:
            new.append(len(origins))
            origins.append(index)
    for position in new:
        layers.insert(position, _identity(layers[position - 1], zero_modules))
    for position, layer in enumerate(layers):
        for module in layer.modules():
            if isinstance(getattr(module, "layer_idx", None), int):
                setattr(module, "layer_idx", position)  # noqa: B010  # no attribute that torch knows of a module
    _follow(model.config.get_text_config(), origins)
    return path, new


def _identity(layer: nn.Module, zero_modules: Sequence[str]) -> nn.Module:
    """A copy of a layer whose output projections are zero, their biases included."""
    new = copy.deepcopy(layer)
    zeroed = [parameter for name, parameter in new.named_parameters() if matches_any(name, zero_modules)]
    if not zeroed:
        names = ", ".join(sorted(parts_of(name for name, _ in new.named_parameters()) - {"weight", "bias"}))
        raise TunesmithError(
            f"adapter.zero_modules={list(zero_modules)}: fits nothing in this model's {type(layer).__name__}.\n"
            f"  name what ends its attention and its MLP; there is: {names}"
        )
    for parameter in zeroed:
        parameter.data = torch.zeros_like(parameter.data)
    return new


def _follow(config: Any, origins: Sequence[int]) -> None:
    """Let a configuration describe the expanded model: the number of layers, and lists with an entry for each."""
    before = config.num_hidden_layers
    for name, value in config.to_dict().items():
        if isinstance(value, list) and len(value) == before and any(part in name for part in _PER_LAYER):
            setattr(config, name, [value[index] for index in origins])
    config.num_hidden_layers = len(origins)


def refuse_change(model: Any, path: str, new: Sequence[int]) -> None:
    """Look at a few tokens on their way through the model; where they cannot be computed, say so.

    Raises: TunesmithError when a new layer does not pass on exactly what it gets.
    """
    changed = []

    def watch(position: int) -> Any:
        def compare(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
            before = given[0] if given else named["hidden_states"]
            after = output[0] if isinstance(output, tuple) else output
            if not torch.equal(before, after):
                changed.append(position)

        return compare

    layers = model.get_submodule(path)
    handles = [layers[position].register_forward_hook(watch(position), with_kwargs=True) for position in new]
    training = model.training
    try:
        model.eval()
        with torch.no_grad():
            model(input_ids=torch.arange(1, 9, device=model.device)[None], use_cache=False)
    except (RuntimeError, ValueError) as error:  # attention of a GPU alone, while the model is not there yet
        logger.warning("whether the new layers begin as the identity is not checked: %s", error)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    if changed:
        names = sorted(parts_of(name for name, _ in layers[changed[0]].named_parameters()) - {"weight", "bias"})
        raise TunesmithError(
            f"new layer {changed[0]} of this {type(model).__name__} changes what it gets, so the expanded model would "
            f"not begin as the base.\n  adapter.zero_modules should name what ends its attention and its MLP; "
            f"there is: {', '.join(names)}"
        )


def refuse_other_layers(model: Any, path: str) -> None:
    """Compare with a model built from the new configuration, as it will be when the result is loaded.

    Raises: TunesmithError when that has other weights, or layers of another kind at some position.
    """
    with torch.device("meta"):
        rebuilt = type(model)(copy.deepcopy(model.config))
    for one, other in zip(model.get_submodule(path), rebuilt.get_submodule(path), strict=True):
        ours, theirs = _description(one), _description(other)
        # Attributes that only one of them has were set after it was built.
        different = [name for name in ours if name in theirs and ours[name] != theirs[name]]
        different += sorted(one.state_dict().keys() ^ other.state_dict().keys())
        if different:
            raise TunesmithError(
                f"adapter=llama_pro cannot expand this {type(model).__name__}: its configuration decides by a layer's "
                f"position of what kind it is, and the layers moved.\n  first difference: {different[0]} is "
                f"{ours.get(different[0])}, would be loaded as {theirs.get(different[0])}"
            )


def _description(layer: nn.Module) -> dict[str, Any]:
    """What a layer is, but for its numbers: shapes of weights, and the plain public values of its modules."""
    found: dict[str, Any] = {name: tuple(value.shape) for name, value in layer.state_dict().items()}
    for path, module in layer.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, bool | int | float | str) and not name.startswith("_") and name != "training":
                found[f"{path}.{name}".lstrip(".")] = value
    return found
