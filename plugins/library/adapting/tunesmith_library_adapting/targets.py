"""Which layers of a model get an adapter: patterns of names to modules, and the error that lists what there is."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith import TunesmithError
from tunesmith.errors import choices
from tunesmith_library_weights.experts import block_of, fused_experts, routers
from tunesmith_library_weights.patterns import matches, matches_any, parts_of, refuse_unknown
from tunesmith_library_weights.towers import LANGUAGE, parts_in


def pick_targets(
    model: Any, include: Sequence[str] | str, exclude: Sequence[str], towers: Sequence[str] = LANGUAGE
) -> list[str]:
    """Choose the layers that get an adapter.

    Args:
        include: patterns as `tunesmith_library_weights.matches` reads them; `all` is every linear layer but the
            output head, the routers of a mixture of experts, and layers that are `bypassed`.
        exclude: patterns of layers to leave out again, as the model's `fresh_modules` are, which are trained whole.
        towers: the parts of the model that get one, as `tunesmith_library_weights.towers` names them; the layers of
            others are left out whatever fits them.

    Returns: names for peft, as short as they can be without fitting another module; none where the patterns fit fused
        experts alone, which `pick_parameters` gives.

    Raises: TunesmithError when a pattern fits nothing, with the names there are, or no layer of these parts, and when a
        part is without a layer that a pattern fits.
    """
    layers = adaptable_layers(model)
    patterns = [include] if isinstance(include, str) else list(include)
    modules = [name for name, _ in model.named_modules()]
    known = [*layers, *adaptable_parameters(model)]
    refuse_unknown("adapter.target_modules", [name for name in patterns if name != "all"], known, "layer")
    refuse_unknown("adapter.exclude_modules", exclude, [*modules, *known], "layer")
    refuse_other_parts(model, patterns, known, towers)
    linear = set(linear_layers(model)) - set(routers(model)) - bypassed(model)
    picked = _within(model, _picked(model, layers, patterns, exclude, linear), towers)
    every = [*picked, *pick_parameters(model, include, exclude, towers)]
    if not every:
        raise TunesmithError(f"adapter.target_modules={patterns} without {list(exclude)} leaves no layer to adapt")
    refuse_bare_parts(model, f"adapter.target_modules={patterns} without {list(exclude)}", every, known, towers)
    return shortened(picked, modules) if picked else []


def refuse_other_parts(model: Any, patterns: Sequence[str], names: Sequence[str], towers: Sequence[str]) -> None:
    """Raises: TunesmithError when a pattern fits names of parts alone that are not among `towers`, or a part is not."""
    parts = parts_in(model)
    parts.refuse_missing("adapter.towers", towers)
    for pattern in patterns:
        found = [parts.of(name) for name in names if matches(name, pattern)]
        if found and not set(found) & parts.chosen(towers):
            others, asked = sorted(set(found)), ",".join(towers)
            raise TunesmithError(
                f"adapter.target_modules={pattern}: all {len(found)} layers that it fits are of the part "
                f"{' and '.join(others)}, which adapter.towers=[{asked}] leaves as it is.\n"
                f"  adapter.towers=[{','.join([asked, *others])}] adapts it too"
            )


def refuse_bare_parts(
    model: Any, asked: str, chosen: Sequence[str], names: Sequence[str], towers: Sequence[str]
) -> None:
    """Raises: TunesmithError when a part that is to be trained has none of the chosen names.

    Args:
        asked: what chose them, for the error.
        names: all that could have been chosen.
    """
    parts = parts_in(model)
    reached = {parts.of(name) for name in chosen}
    for part in towers:
        own = parts.chosen([part])
        if not own & reached:
            there = sorted({name.rpartition(".")[2] for name in names if parts.of(name) in own})
            whole = next((place for place, kind in parts.places if kind in own), part)
            known = f"its layers are: {', '.join(there)}" if there else "it has no linear layers"
            raise TunesmithError(
                f"adapter.towers={part}: {asked} leaves nothing of it to train.\n  {known}; leave it out of "
                f"adapter.towers, and adapter.modules_to_save=[{whole.rpartition('.')[2]}] trains it whole"
            )


def _within(model: Any, names: Sequence[str], towers: Sequence[str]) -> list[str]:
    """The names that are in these parts of a model."""
    parts = parts_in(model)
    chosen = parts.chosen(towers)
    return [name for name in names if parts.of(name) in chosen]


def pick_parameters(
    model: Any, include: Sequence[str] | str, exclude: Sequence[str], towers: Sequence[str] = LANGUAGE
) -> list[str]:
    """Choose the fused experts that get an adapter, as `pick_targets` chooses layers.

    Returns: dotted names of parameters. `all` is every one of them; a router's weight has to be named.
    """
    patterns = [include] if isinstance(include, str) else list(include)
    experts = {item.name for item in fused_experts(model)}
    return _within(model, _picked(model, adaptable_parameters(model), patterns, exclude, experts), towers)


def refuse_experts(model: Any, include: Sequence[str] | str, exclude: Sequence[str], adapter: str) -> None:
    """Check that nobody asks an adapter for fused experts that knows linear layers alone; `all` leaves them out.

    Raises: TunesmithError when a pattern fits fused experts and no layer.
    """
    layers, patterns = adaptable_layers(model), [include] if isinstance(include, str) else list(include)
    for pattern in patterns:
        found = [] if pattern == "all" else pick_parameters(model, [pattern], exclude)
        if found and not any(matches(name, pattern) for name in layers):
            raise TunesmithError(
                f"adapter.target_modules={pattern}: adapter={adapter} adapts linear layers, and {found[0]} is a "
                "parameter of fused experts.\n  leave it out, or an adapter of low-rank matrices, which adapts both"
            )


def adaptable_parameters(model: Any) -> list[str]:
    """Names of the parameters outside of linear layers that can be asked for: fused experts, and their routers."""
    layers = set(adaptable_layers(model))
    chosen = [f"{name}.weight" for name in routers(model) if name not in layers]
    return [*(item.name for item in fused_experts(model)), *chosen]


def _picked(
    model: Any, names: Sequence[str], patterns: Sequence[str], exclude: Sequence[str], every: set[str]
) -> list[str]:
    """The names that a pattern fits and no exclusion does; `all` fits those of `every`.

    A router is not meant where the block around it is named: it stays as it is unless it is named itself.
    """
    left = [*exclude, *getattr(model, "fresh_modules", ())]
    blocks = {name: block_of(name) for name in routers(model)}

    def fits(name: str, pattern: str) -> bool:
        block = blocks.get(name.removesuffix(".weight"))
        if pattern == "all":
            return name in every
        return matches(name, pattern) and (block is None or not matches(block, pattern))

    return [name for name in names if any(fits(name, asked) for asked in patterns) and not matches_any(name, left)]


def linear_layers(model: Any) -> list[str]:
    """Names of the linear layers, quantised ones included, without the output head."""
    head = model.get_output_embeddings()
    return [name for name, module in model.named_modules() if _is_linear(module) and module is not head]


def bypassed(model: Any) -> set[str]:
    """Names of the linear layers whose weight the module around them reads itself, so that an adapter is passed over.

    Mixers of state spaces hand such weights to fused kernels; it shows in their source alone.
    """
    found: set[str] = set()
    sources: dict[str, str] = {}
    for path, module in model.named_modules():
        layers = [name for name, child in module.named_children() if _is_linear(child)]
        if not layers:
            continue
        kind = type(module)
        if kind.__qualname__ not in sources:
            sources[kind.__qualname__] = _source(kind)
        source = sources[kind.__qualname__]
        read = [name for name in layers if re.search(rf"self\.{name}\.weight(?!\.(dtype|device|shape|size))\b", source)]
        found |= {f"{path}.{name}".lstrip(".") for name in read}
    return found


def _source(module_class: Any) -> str:
    try:
        return inspect.getsource(module_class)
    except (OSError, TypeError):
        return ""


def adaptable_layers(model: Any) -> list[str]:
    """Names of all layers that can be asked for: linear layers, the output head and the embeddings."""
    from torch import nn

    named = model.named_modules()
    return [name for name, module in named if _is_linear(module) or isinstance(module, nn.Embedding)]


def targeted(model: Any, targets: Sequence[str]) -> list[str]:
    """Names of the layers that names for peft, as `pick_targets` gives them, stand for, and of the parameters."""
    named = [*adaptable_layers(model), *adaptable_parameters(model)]
    return [name for name in named if any(_ends_with(name, target) for target in targets)]


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
        targets: what `pick_targets` and `pick_parameters` gave.

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


def shortened(picked: Sequence[str], modules: Sequence[str]) -> list[str]:
    """Last parts instead of whole names where they fit the same modules: easier to read, and what other tools know."""
    lasts = {name.rpartition(".")[2] for name in picked}
    fitting = {name for name in modules if name.rpartition(".")[2] in lasts}
    return sorted(lasts) if fitting == set(picked) else sorted(picked)


def shortened_parameters(model: Any, picked: Sequence[str]) -> list[str]:
    """Ends of names instead of whole names where they fit the same parameters: `mlp.experts.down_proj`."""
    ends = {".".join(part for part in name.split(".")[-3:]) for name in picked}
    ends = {end.partition(".")[2] if end[0].isdigit() else end for end in ends}
    named = [*adaptable_parameters(model), *(name for name, _ in model.named_parameters())]
    fitting = {name for name in named if any(_ends_with(name, end) for end in ends)}
    return sorted(ends) if fitting == set(picked) else sorted(picked)
