"""Holding fused experts in few bits, whichever quantizer makes them: one parameter after the other, in place."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from tunesmith_library_weights.experts import ExpertWeight, Packed, fused_experts, siblings
from tunesmith_library_weights.forgetting import let_forget, mark_layers
from tunesmith_library_weights.patterns import matches_any

Pack = Callable[[ExpertWeight, Tensor], tuple[Tensor, Packed]]
"""A parameter and its numbers in; what is stored of it out, on the device on which it is to compute, and how it is
read."""


def pack_experts(model: nn.Module, skip: Iterable[str], pack: Pack) -> list[str]:
    """Replace the parameters of fused experts by few bits, which are dequantised at each use.

    Whoever computes with the parameter gets the dequantised one, in its shape and numbers, so that every implementation
    of experts and every adapter over them goes on as it did. Nothing of it is trained.

    Args:
        skip: patterns of parameters that stay as they are.

    Returns: names of those that were replaced, and no longer are anywhere in full.
    """
    patterns, done = list(skip), []
    for item in fused_experts(model):
        if not item.packed and not matches_any(item.name, patterns):
            stored, parametrization = pack(item, item.value.detach())
            hold(item.owner, item.parameter, stored, parametrization)
            done.append(item.name)
    mark_layers(model)
    return done


def hold(owner: nn.Module, parameter: str, stored: Tensor, parametrization: Packed) -> None:
    """Let a module compute with what `parametrization` reads out of `stored` in the place of one of its parameters."""
    parametrization.siblings = siblings(owner)
    if not parametrize.is_parametrized(owner):
        let_forget(owner)
    setattr(owner, parameter, nn.Parameter(stored, requires_grad=False))
    parametrize.register_parametrization(owner, parameter, parametrization, unsafe=True)
    owner.parametrizations[parameter].original.requires_grad_(False)  # type: ignore[union-attr,index]


def device_of(weight: Tensor) -> torch.device:
    """Where a weight will compute: in training, weights that are quantised after loading are still on the CPU."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if weight.device.type == "cpu" and accelerator is not None:
        return torch.device(accelerator.type, int(os.environ.get("LOCAL_RANK", "0")))
    return weight.device
