"""Puts torchao's layers with FP8 products in the place of linear layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from tunesmith import TunesmithError, announce
from tunesmith.messages import logger
from tunesmith_library_weights.patterns import matches_any, refuse_unknown
from tunesmith_library_weights.shares import matrices, share

_ALIGNED = 16  # both sides of a matrix must be multiples of it
_NEEDED = {"rowwise": (9, 0), "tensorwise": (8, 9), "rowwise_with_gw_hp": (9, 0)}  # compute capability of NVIDIA's
_NEEDED_OF_AMD = (9, 4)  # gfx942, the MI300


def require_device(recipe: str) -> None:
    """Raise a TunesmithError where the device multiplies no FP8, with what this machine has."""
    if not torch.cuda.is_available():
        found = "torch finds no GPU here"
    else:
        needed = _NEEDED_OF_AMD if torch.version.hip else _NEEDED[recipe]
        capability = torch.cuda.get_device_capability()
        if capability >= needed:
            return
        found = f"{torch.cuda.get_device_name()} has compute capability {capability[0]}.{capability[1]}"
    raise TunesmithError(
        "patch.fp8: its products need a GPU that multiplies FP8 (NVIDIA: compute capability 9.0, or 8.9 for "
        f"recipe=tensorwise; AMD: MI300); {found}.\n"
        "  leave patch.fp8 out and train in bf16\n"
        "  patch.fp8.emulate=true shows on any machine what the rounding does, slowly"
    )


def convert(model: Any, recipe: str, skip: Sequence[str], *, all_gather: bool = False, emulate: bool = False) -> int:
    """Let a model's linear layers multiply in FP8, in place, and say which share of its weights they hold.

    The output head, modules with fresh weights, the matrices of an adapter, layers that are named in `skip` and those
    whose sides are no multiples of 16 stay as they are.

    Args:
        recipe: torchao's name of what shares a scale.
        skip: names, parts of dotted names, or patterns.

    Returns: how many layers were converted.
    Raises: TunesmithError when `skip` names no linear layer, or none is left to convert.
    """
    from torchao.float8 import Float8LinearConfig, convert_to_float8_training

    own = _of_adapters(model)
    plain = {name: module for name, module in model.named_modules() if type(module) is nn.Linear}
    linear = {name: module for name, module in plain.items() if id(module) not in own}
    refuse_unknown("patch.fp8.skip_modules", list(skip), list(linear), "linear layer")
    head = model.get_output_embeddings()
    in_head = {id(module) for module in head.modules()} if head is not None else set()
    fresh = {*getattr(model, "fresh_modules", ())}
    wanted = {
        name: module
        for name, module in linear.items()
        if id(module) not in in_head and not {*name.split(".")} & fresh and not matches_any(name, skip)
    }
    fitting = {name for name, module in wanted.items() if all(size % _ALIGNED == 0 for size in module.weight.shape)}
    if not fitting:
        raise TunesmithError(
            f"patch.fp8: none of the {len(linear)} linear layers of {type(model).__name__} can be computed in FP8: "
            f"both sides must be multiples of {_ALIGNED}.\n  leave patch.fp8 out"
        )
    odd = sorted(wanted.keys() - fitting)
    if odd:
        shape = "×".join(map(str, wanted[odd[0]].weight.shape))
        logger.warning(
            "patch.fp8: %d layers have sides that are no multiples of 16, such as %s, %s", len(odd), odd[0], shape
        )
    config = dataclasses.replace(
        Float8LinearConfig.from_recipe_name(recipe),
        enable_fsdp_float8_all_gather=all_gather,
        emulate=emulate,
        pad_inner_dim=not emulate,  # the tokens of a batch without padding are of any number
    )
    convert_to_float8_training(model, config=config, module_filter_fn=lambda module, name: name in fitting)
    counts = {name: count for name, count in matrices(model).items() if name not in plain or name in linear}
    reached, rest = share(counts, fitting, rest="in 16 bits")
    announce(
        "products in FP8", f"{len(fitting)} layers, {reached}", f"{recipe}{', emulated' if emulate else ''}; {rest}"
    )
    return len(fitting)


def _of_adapters(model: Any) -> set[int]:
    """The modules that peft put beside layers, by identity."""
    tuners = [(module, getattr(module, "adapter_layer_names", ())) for module in model.modules()]
    parts = [getattr(module, name, None) for module, names in tuners for name in names]
    return {id(inner) for part in parts if isinstance(part, nn.Module) for inner in part.modules()}
