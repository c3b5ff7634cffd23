"""Weights that are computed at each use, and not kept for the backward pass, which computes them again.

A matrix product keeps its weight for the gradient of its input. Of a weight that lies in memory that costs nothing; of
one that was dequantised, or that an adapter was added to, it would keep the whole model in full by the end of a
forward pass. Here autograd is given how to make it again instead of the numbers.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.utils import parametrize

_LAYER = "_recomputed_with"  # on a module: a weak reference to the layer whose activations are computed again with it


@contextmanager
def forgetting(module: nn.Module) -> Iterator[None]:
    """Let the backward pass make a module's parametrized weights again, as far as they are used within this block.

    Nothing is done where no gradient is wanted, and where the layer around is computed again as a whole (gradient
    checkpointing), which forgets the weights by itself.
    """
    chains: Any = module._modules.get("parametrizations") or {}
    _Use.let_go()
    with parametrize.cached():
        if not torch.is_grad_enabled() or _is_recomputed(module):
            yield
            return
        use = _Use(chains)
        # each is the cache's from here on
        names = {getattr(module, name).untyped_storage().data_ptr(): name for name in chains}

        def pack(saved: Tensor) -> Any:
            name = names.get(saved.untyped_storage().data_ptr()) if saved.layout == torch.strided else None
            return saved if name is None else (name, saved.size(), saved.stride(), saved.storage_offset())

        def unpack(packed: Any) -> Tensor:
            if isinstance(packed, Tensor):
                return packed
            name, *geometry = packed
            view: Tensor = use.weight(name).as_strided(*geometry)
            return view

        with saved_tensors_hooks(pack, unpack):
            yield


class _Use:
    """One forward pass of a module: how its parametrized weights were computed from what is stored.

    What was made again is held until the weights of another pass are asked for: a loop over experts asks for each of
    them.
    """

    latest: _Use | None = None

    def __init__(self, chains: Any) -> None:
        self.steps = {name: (chain.original, list(chain)) for name, chain in chains.items()}
        self.made: dict[str, Tensor] = {}

    @torch.no_grad()
    def weight(self, name: str) -> Tensor:
        _Use.let_go(but=self)
        if name not in self.made:
            weight, steps = self.steps[name]
            for step in steps:
                weight = step(weight)
            self.made[name] = weight
        return self.made[name]

    @classmethod
    def let_go(cls, but: _Use | None = None) -> None:
        """Let go of what is held, if it is not of this pass."""
        if cls.latest is not None and cls.latest is not but:
            cls.latest.made.clear()
        cls.latest = but


def let_forget(module: nn.Module) -> None:
    """Let every forward pass of a module be one within `forgetting`."""
    kind: Any = type(module)
    module.__class__ = _forgetful(kind)


@cache
def _forgetful(kind: Any) -> type:
    def forward(self: Any, *args: Any, **named: Any) -> Any:
        with forgetting(self):
            return kind.forward(self, *args, **named)

    return type(kind.__name__, (kind,), {"forward": forward, "__module__": kind.__module__})


def mark_layers(model: nn.Module) -> None:
    """Tell every module which of transformers' layers it belongs to, so that it knows when that is computed again."""
    for layer in model.modules():
        if hasattr(layer, "gradient_checkpointing"):
            for module in layer.modules():
                module.__dict__[_LAYER] = weakref.ref(layer)


def _is_recomputed(module: nn.Module) -> bool:
    reference = module.__dict__.get(_LAYER)
    layer = reference() if reference is not None else None
    return layer is not None and bool(layer.gradient_checkpointing) and layer.training
