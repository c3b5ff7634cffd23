"""Computing in float32 with weights that are held in fewer bits, a block at a time.

A bfloat16 model computes in bfloat16, whose rounding hides differences of the weights; a copy in float32 takes twice
the memory. Here each decoder layer is float32 while it computes, and is put back; bfloat16 and float16 lose nothing
on that way. Of the embeddings only the rows that are asked for are, and of the output layer some rows at a time: in a
small model with a large vocabulary these two are most of it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeGuard

import torch
from torch import nn
from torch.nn.functional import linear

_NARROW = (torch.bfloat16, torch.float16)
_NUMBERS = 4_000_000  # of an output layer that are float32 at a time: 16 MB


@contextmanager
def in_float32(model: nn.Module) -> Iterator[None]:
    """Let a model compute in float32 while the block lasts; weights that are no plain numbers compute as they do.

    Args:
        model: any; of one that is float32 already nothing changes.
    """
    handles, by_rows = [], []
    for unit, deep in list(_units(model)):
        if not deep and _is_head(unit):
            vars(unit)["forward"] = partial(_by_rows, unit)
            by_rows.append(unit)
            continue
        swap = _Rows(unit) if not deep and _is_table(unit) else _Swap(unit, deep)
        handles.append(unit.register_forward_pre_hook(swap.widen))
        handles.append(unit.register_forward_hook(swap.restore, always_call=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for unit in by_rows:
            del vars(unit)["forward"]


def _is_head(module: nn.Module) -> TypeGuard[nn.Linear]:
    """Whether a module computes as torch's linear layer does, and nobody has put something around that."""
    return isinstance(module, nn.Linear) and type(module).forward is nn.Linear.forward and "forward" not in vars(module)


def _is_table(module: nn.Module) -> TypeGuard[nn.Embedding]:
    """Whether what embeddings give for tokens depends on these tokens' rows alone, scaled or not."""
    if not isinstance(module, nn.Embedding) or module.max_norm is not None or len(list(module.parameters())) > 1:
        return False
    return len(inspect.signature(type(module).forward).parameters) == 2  # itself and the tokens


def _by_rows(layer: nn.Linear, x: torch.Tensor) -> torch.Tensor:
    """x (..., in) to float32 (..., out): x Wᵀ + b in float32, some rows of W at a time."""
    said = x.new_empty((*x.shape[:-1], layer.out_features), dtype=torch.float32)
    rows = max(_NUMBERS // layer.in_features, 1)
    for begin in range(0, layer.out_features, rows):
        part = slice(begin, begin + rows)
        bias = None if layer.bias is None else layer.bias[part].float()
        said[..., part] = linear(x.float(), layer.weight[part].float(), bias)
    return said


class _Rows:
    """The float32 of those rows of the embeddings that a text's tokens ask for, while they are looked up."""

    def __init__(self, table: nn.Embedding) -> None:
        self._table = table
        self._held: tuple[torch.Tensor, int | None] | None = None

    def widen(self, _: nn.Module, given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        weight = self._table.weight
        self._held = weight.data, self._table.padding_idx
        if not given:  # the tokens have been given by name
            weight.data = weight.data.float()
            return given
        rows, places = given[0].unique(return_inverse=True)
        weight.data, self._table.padding_idx = weight.data[rows].float(), None
        return (places,)

    def restore(self, *_: Any) -> None:
        if self._held is not None:
            self._table.weight.data, self._table.padding_idx = self._held
        self._held = None


class _Swap:
    """The float32 of one module's tensors, while it computes."""

    def __init__(self, module: nn.Module, deep: bool) -> None:
        self._module, self._deep = module, deep
        self._held: list[tuple[torch.Tensor, torch.Tensor]] = []

    def widen(self, *_: Any) -> None:
        for tensor in _narrow(self._module, self._deep):
            self._held.append((tensor, tensor.data))
            tensor.data = tensor.data.float()

    def restore(self, *_: Any) -> None:
        for tensor, data in self._held:
            tensor.data = data
        self._held.clear()


def _units(model: nn.Module) -> Iterator[tuple[nn.Module, bool]]:
    """The modules that are widened, and whether with all that is in them: each item of a list of layers, outermost
    first, and outside of these every module that holds tensors of its own."""
    inside: set[int] = set()
    for module in model.modules():
        if id(module) in inside:
            continue
        if isinstance(module, nn.ModuleList):
            for layer in module:
                inside |= {id(part) for part in layer.modules()}
                if next(_narrow(layer, True), None) is not None:
                    yield layer, True
        elif next(_narrow(module, False), None) is not None:
            yield module, False


def _narrow(module: nn.Module, deep: bool) -> Iterator[torch.Tensor]:
    """The tensors of a module that are plain numbers of 16 bits."""
    for tensor in (*module.parameters(deep), *module.buffers(deep)):
        if tensor.dtype in _NARROW and type(tensor.data) is torch.Tensor:
            yield tensor
