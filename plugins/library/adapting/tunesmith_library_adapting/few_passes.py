"""peft's layers with a low-rank adapter, which compute it as `low_rank` does wherever that is the same.

Each call decides: one acting adapter of two plain matrices, not merged, in one type or under autocast. Everything else
is peft's own forward: variants of LoRA, several adapters at once or one per row, what is being compiled or traced, and
matrices that something watches or holds elsewhere (hooks, DeepSpeed's and FSDP's shards).
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import torch
from peft.tuners.lora.dora import DoraLinearLayer
from peft.tuners.lora.layer import Linear, LoraLayer, ParamWrapper
from peft.tuners.lora.variants import DoraLinearVariant
from torch import Tensor, nn

from tunesmith_library_adapting import dora, low_rank

_FLOATS = (torch.float32, torch.bfloat16, torch.float16)
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def in_few_passes(model: Any) -> Any:
    """Let each linear layer with LoRA in a peft model compute it in few passes; its names and weights stay."""
    for module in model.modules():
        if _is_linear(module) and not isinstance(module, FewPasses):
            kind: Any = type(module)
            module.__class__ = _kind(kind)
    return model


class FewPasses:
    """What is put before one of peft's classes."""

    def forward(self: Any, x: Tensor, *args: Any, **options: Any) -> Tensor:
        """Args: x: (…, in). Returns: (…, out)."""
        beside = None if args or options else _beside(self, x)
        if beside is None:
            result: Tensor = super().forward(x, *args, **options)  # type: ignore[misc]  # of the class that follows
            return result
        first, second, dropout, scale, dtype = beside.first, beside.second, beside.dropout, beside.scale, beside.dtype
        base = self.base_layer
        if beside.magnitude is not None:
            return dora.linear(x, base.weight, base.bias, first, second, beside.magnitude, scale, dtype)
        if dropout is None and _is_frozen(base, dtype):
            return low_rank.linear(x, base.weight, base.bias, first, second, scale, dtype)
        return low_rank.added(base(x), x if dropout is None else dropout(x), first, second, scale, dtype)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """By peft's class, for this one has no name of its own."""
        kind = type(self).__mro__[2]
        return _renewed, (kind,), *super().__reduce_ex__(protocol)[2:]


class _Beside(NamedTuple):
    first: Tensor
    second: Tensor
    dropout: nn.Module | None  # None where it does nothing
    scale: float
    dtype: torch.dtype
    magnitude: Tensor | None  # of DoRA


def _beside(layer: Any, x: Tensor) -> _Beside | None:
    """The one adapter that acts in a layer and the type it is computed in; None where peft has to do it."""
    if layer.disable_adapters or layer.merged or torch.compiler.is_compiling():
        return None
    if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]  # torch does not annotate it
        return None
    acting = [name for name in layer.active_adapters if name in layer.lora_A]
    if len(acting) != 1:
        return None
    (name,) = acting
    first, second, dropout = layer.lora_A[name], layer.lora_B[name], layer.lora_dropout[name]
    if not (_is_bare(first) and _is_bare(second)) or second.bias is not None:
        return None
    dtype = _computed(x, first.weight, second.weight)
    if dtype is None or type(dropout) not in (nn.Identity, nn.Dropout):
        return None
    drops = dropout if isinstance(dropout, nn.Dropout) and dropout.training else None
    magnitude = None
    if name in layer.lora_variant:
        magnitude = _magnitude(layer, name)
        if magnitude is None or drops is not None or not _is_frozen(layer.base_layer, dtype):
            return None
    return _Beside(first.weight, second.weight, drops, layer.scaling[name], dtype, magnitude)


def _magnitude(layer: Any, name: str) -> Tensor | None:
    """Of DoRA on a linear layer; None where the variant is another, or somebody watches it."""
    if type(layer.lora_variant[name]) is not DoraLinearVariant:
        return None
    vector = layer.lora_magnitude_vector[name]
    if type(vector) is not DoraLinearLayer:
        return None
    return vector.weight if type(vector.weight) is nn.Parameter and not _is_watched(vector) else None


def _computed(x: Tensor, *weights: Tensor) -> torch.dtype | None:
    """The type of autocast, or that of all; None where they differ, or some is no ordinary tensor of floats."""
    if type(x) is not Tensor or x.dtype not in _FLOATS:
        return None
    device = x.device.type
    if torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return x.dtype if all(weight.dtype == x.dtype for weight in weights) else None


def _is_frozen(base: Any, dtype: torch.dtype) -> bool:
    """Whether a layer is a plain product with a weight that does not learn, and no more."""
    if not _is_bare(base) or base.weight.requires_grad or not base.weight.dtype.is_floating_point:
        return False
    computed = torch.is_autocast_enabled(base.weight.device.type) or base.weight.dtype == dtype
    return computed and (base.bias is None or not base.bias.requires_grad)


def _is_bare(layer: Any) -> bool:
    """Whether a layer is torch's own, with a whole weight at hand, and nobody watches or replaces what it does."""
    return type(layer) is nn.Linear and type(layer.weight) is nn.Parameter and not _is_watched(layer)


def _is_watched(layer: Any) -> bool:
    return "forward" in vars(layer) or any(getattr(layer, name) for name in _HOOKS)


def _is_linear(module: Any) -> bool:
    """Whether a module is one of peft's whose adapter is two linear layers beside a linear layer, quantised or not."""
    if not isinstance(module, LoraLayer) or isinstance(module, ParamWrapper) or not module.lora_A:
        return False
    return isinstance(module, Linear) or hasattr(module.get_base_layer(), "in_features")


@functools.cache
def _kind(kind: Any) -> Any:
    return type(kind.__name__, (FewPasses, kind), {"__module__": kind.__module__, "__qualname__": kind.__qualname__})


def _renewed(kind: Any) -> Any:
    made = _kind(kind)
    return made.__new__(made)
