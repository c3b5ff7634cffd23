"""Which layers of a model get an adapter: patterns of names to modules, and the error that lists what there is."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from tunesmith import TunesmithError
from tunesmith.errors import choices


def matches(name: str, pattern: str) -> bool:
    """Whether a pattern stands for a module: it fits a run of whole parts of the dotted name; `*` fits anything.

    `q_proj` fits every layer of that name, `self_attn` all layers inside such a block, `layers.1?` ten blocks.
    """
    parts = name.split(".")
    runs = (".".join(parts[start:end]) for start in range(len(parts)) for end in range(start + 1, len(parts) + 1))
    return any(fnmatchcase(run, pattern) for run in runs)


def pick_targets(model: Any, include: Sequence[str] | str, exclude: Sequence[str]) -> list[str]:
    """Choose the layers that get an adapter.

    Args:
        include: patterns as `matches` reads them; `all` is every linear layer but the output head.
        exclude: patterns of layers to leave out again.

    Returns: names for peft, as short as they can be without fitting another module.

    Raises: TunesmithError when a pattern fits nothing, with the names there are.
    """
    layers = adaptable_layers(model)
    patterns = [include] if isinstance(include, str) else list(include)
    _refuse_unknown("target_modules", [name for name in patterns if name != "all"], layers)
    _refuse_unknown("exclude_modules", exclude, [name for name, _ in model.named_modules()])
    linear = set(linear_layers(model))
    picked = [
        name
        for name in layers
        if any(name in linear if pattern == "all" else matches(name, pattern) for pattern in patterns)
        and not any(matches(name, pattern) for pattern in exclude)
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


def refuse_unknown_modules(option: str, names: Sequence[str], model: Any) -> None:
    """Check names that peft compares with the end of a module's name.

    Raises: TunesmithError when a name fits no module.
    """
    modules = [name for name, _ in model.named_modules() if name]
    for asked in names:
        if not any(name == asked or name.endswith(f".{asked}") for name in modules):
            raise TunesmithError(f"adapter.{option}={asked}: no such module in the model.\n  {_known(asked, modules)}")


def keeps_tied(model: Any, modules_to_save: Sequence[str]) -> bool:
    """Whether a module that is trained whole shares its weight with another: output head and embeddings often do.

    They then stay one weight, as the model's architecture has it.
    """
    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    if head is None or head.weight is not embeddings.weight:
        return False
    names = [name for name, module in model.named_modules() if module is head or module is embeddings]
    return any(name == asked or name.endswith(f".{asked}") for asked in modules_to_save for name in names)


def _is_linear(module: Any) -> bool:
    """Quantised linear layers have no common class; what they share are the sizes of `nn.Linear`."""
    from transformers.pytorch_utils import Conv1D

    sized = hasattr(module, "in_features") and hasattr(module, "out_features")
    # A layer that holds another sized one (a wrapper) is not the layer itself.
    return isinstance(module, Conv1D) or (sized and not any(map(_is_linear, module.children())))


def _refuse_unknown(option: str, patterns: Sequence[str], names: Sequence[str]) -> None:
    for pattern in patterns:
        if not any(matches(name, pattern) for name in names):
            raise TunesmithError(
                f"adapter.{option}={pattern}: fits no layer of this model.\n  {_known(pattern, names)}"
            )


def _known(asked: str, names: Sequence[str]) -> str:
    """The last parts of the names (numbers are no names), with the nearest to what was asked."""
    lasts = {name.rpartition(".")[2] for name in names}
    return choices(asked.rpartition(".")[2], {last for last in lasts if not last.isdigit() and last}, "layers")


def _shortened(picked: Sequence[str], modules: Sequence[str]) -> list[str]:
    """Last parts instead of whole names where they fit the same modules: easier to read, and what other tools know."""
    lasts = {name.rpartition(".")[2] for name in picked}
    fitting = {name for name in modules if name.rpartition(".")[2] in lasts}
    return sorted(lasts) if fitting == set(picked) else sorted(picked)
