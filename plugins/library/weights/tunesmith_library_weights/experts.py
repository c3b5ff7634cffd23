"""Fused experts: since transformers 5 a mixture keeps the matrices of all its experts in parameters of three axes.

Such a parameter is (experts, out, in), or (experts, in, out) where its module says `is_transposed`; it belongs to a
module that is no linear layer, so that whoever looks for linear layers passes over most of the model. A quantizer may
hold it in few bits as a `Packed` parametrization, which computes the numbers anew at each use.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize

from tunesmith_library_weights.cut import shape_of


class Packed(nn.Module):
    """Few bits of a parameter of fused experts, as a parametrization: what is stored is `original`, what it gives the
    dequantised parameter. A subclass says how."""

    def __init__(self, shape: torch.Size, dtype: torch.dtype) -> None:
        """Args: shape: of the parameter; dtype: of its numbers, as they were before."""
        super().__init__()
        self.shape, self.dtype = shape, dtype
        self.siblings: tuple[str, ...] = ()  # the parameters of its module, this one included, in their order
        self._held: weakref.ref[Tensor] | None = None

    def dequantise(self, packed: Tensor) -> Tensor:
        """The parameter, in `shape`, out of what is stored."""
        raise NotImplementedError

    @torch.no_grad()
    def forward(self, packed: Tensor) -> Tensor:
        """As long as somebody holds what was computed last, it is not computed again: adapters ask several times."""
        held = self._held() if self._held is not None else None
        if held is None or held.device != packed.device:
            held = self.dequantise(packed)
            self._held = weakref.ref(held)
        return held


@dataclass(frozen=True)
class ExpertWeight:
    """One parameter of fused experts."""

    name: str  # dotted: `model.layers.0.mlp.experts.gate_up_proj`
    owner: nn.Module
    shape: torch.Size  # (experts, out, in), or (experts, in, out)
    transposed: bool  # (experts, in, out)

    @property
    def parameter(self) -> str:
        """The last part of the name."""
        return self.name.rpartition(".")[2]

    @property
    def value(self) -> Tensor:
        """The parameter; of a packed one its numbers, computed now."""
        value: Tensor = getattr(self.owner, self.parameter)
        return value

    @property
    def packed(self) -> bool:
        return parametrize.is_parametrized(self.owner, self.parameter)


def fused_experts(model: nn.Module) -> list[ExpertWeight]:
    """All parameters of fused experts, packed ones included, in the order of the module tree."""
    return [
        ExpertWeight(f"{path}.{name}" if path else name, module, shape, bool(getattr(module, "is_transposed", False)))
        for path, module in model.named_modules()
        for name, shape in _shapes(module).items()
        if _is_of_experts(module, shape)
    ]


def packed_away(model: nn.Module) -> int:
    """How many more numbers packed experts stand for than are stored of them."""
    packed = [item for item in fused_experts(model) if item.packed]
    chains: list[Any] = [item.owner._modules["parametrizations"] for item in packed]
    stored: list[Tensor] = [chain[item.parameter].original for chain, item in zip(chains, packed, strict=True)]
    return sum(item.shape.numel() for item in packed) - sum(original.numel() for original in stored)


def routers(model: nn.Module) -> dict[str, nn.Module]:
    """The modules that choose among fused experts, by name: `gate` or `router` beside them, with a row for each."""
    blocks, found = {}, {}
    for item in fused_experts(model):
        parts = [part for part in item.name.split(".")[:-1] if part != "base_layer"]  # of an adapter's wrappers
        blocks[".".join(parts[:-1])] = item.shape[0]
    for block, count in blocks.items():
        for path, module in model.get_submodule(block).named_modules():
            weight = module._parameters.get("weight")
            rows = getattr(module, "out_features", None) or next(
                iter(shape_of(weight) if weight is not None else ()), 0
            )
            if rows == count and any(map(_chooses, path.split("."))):
                found[f"{block}.{path}" if block else path] = module
    return found


def block_of(router: str) -> str:
    """The dotted name of the block that a router, as `routers` names it, belongs to."""
    parts = router.split(".")
    return ".".join(parts[: next(index for index, part in enumerate(parts) if _chooses(part))])


def _chooses(part: str) -> bool:
    return part == "gate" or "router" in part


@contextmanager
def shown_whole(model: nn.Module) -> Iterator[None]:
    """Let packed experts look like whole parameters while the block lasts, with their shapes but no numbers.

    For whoever puts something around them by their names, shapes and order and reads no number, as peft does.
    """
    hidden: list[tuple[nn.Module, type, Any]] = []
    for module in model.modules():
        packed = _packed(module)
        if packed:
            order = siblings(module)
            hidden.append((module, type(module), module._modules.pop("parametrizations")))
            module.__class__ = type(module).__mro__[1]  # torch made a class of its own for the parametrized module
            for name, store in packed.items():
                blank = torch.zeros((), dtype=store.dtype, device=store.device).expand(store.shape)
                module.register_parameter(name, nn.Parameter(blank, requires_grad=False))
            for name in order:  # wrappers of parameters are nested in their order
                module._parameters[name] = module._parameters.pop(name)
    try:
        yield
    finally:
        for module, kind, parametrizations in hidden:
            for name in parametrizations:
                del module._parameters[name]
            module._modules["parametrizations"] = parametrizations
            module.__class__ = kind


def siblings(module: nn.Module) -> tuple[str, ...]:
    """The names of a module's own parameters in the order in which they were made, before any of them was packed."""
    chains: Any = module._modules.get("parametrizations")
    packed = [chain[0] for chain in chains.values() if isinstance(chain[0], Packed)] if chains is not None else []
    return packed[0].siblings if packed else tuple(module._parameters)


@dataclass(frozen=True)
class _Store:
    shape: torch.Size
    dtype: torch.dtype
    device: torch.device


def _packed(module: nn.Module) -> dict[str, _Store]:
    """The packed parameters of a module."""
    chains: Any = module._modules.get("parametrizations")
    if chains is None or not parametrize.is_parametrized(module):
        return {}
    firsts = {name: (chain[0], chain.original.device) for name, chain in chains.items()}
    return {
        name: _Store(first.shape, first.dtype, device)
        for name, (first, device) in firsts.items()
        if isinstance(first, Packed)
    }


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    """The shapes of a module's own parameters, as they are computed with."""
    items = module._parameters.items()
    own = {name: torch.Size(shape_of(item)) for name, item in items if item is not None and item.is_floating_point()}
    found = own | {name: store.shape for name, store in _packed(module).items()}
    return {name: found[name] for name in siblings(module) if name in found}


def _is_of_experts(module: nn.Module, shape: torch.Size) -> bool:
    """Three axes, the first of which counts experts; a row for each of them, as of a bias, is no matrix of theirs."""
    if len(shape) != 3 or min(shape[1:]) == 1 or isinstance(module, _ConvNd):
        return False
    return getattr(module, "num_experts", None) == shape[0] or "expert" in type(module).__name__.lower()
