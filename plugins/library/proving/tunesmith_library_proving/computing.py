"""Computing in float32 with weights that are held in fewer bits, a block at a time.

A bfloat16 model computes in bfloat16, whose rounding hides differences of the weights; a copy in float32 takes twice
the memory. Here each decoder layer is float32 while it computes, and is put back; bfloat16 and float16 lose nothing
on that way.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

_NARROW = (torch.bfloat16, torch.float16)


@contextmanager
def in_float32(model: nn.Module) -> Iterator[None]:
    """Let a model compute in float32 while the block lasts; weights that are no plain numbers compute as they do.

    Args:
        model: any; of one that is float32 already nothing changes.
    """
    handles = []
    for unit, deep in list(_units(model)):
        swap = _Swap(unit, deep)
        handles.append(unit.register_forward_pre_hook(swap.widen))
        handles.append(unit.register_forward_hook(swap.restore, always_call=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


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
