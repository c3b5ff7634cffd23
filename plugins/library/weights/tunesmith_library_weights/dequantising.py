"""Models that are stored in few bits, in full: every quantised layer a plain one with the numbers that it stands for.

Few bits cannot take what an adapter adds; the numbers that they stand for, computed in float32, can. Only the quantizer
knows how its layers hold them. So whoever wants a model in full loads it inside `in_full`, and a quantizer that finds
itself there (`is_wanted`) hands `dequantise` its classes of layers with what computes their weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

Weight = Callable[[Any], Tensor]
"""A quantised layer in, the weight (out, in) that it stands for out, float32."""

_wanted: ContextVar[bool] = ContextVar("in_full", default=False)


@contextmanager
def in_full() -> Iterator[None]:
    """Let quantizers give what is loaded while the block lasts in full."""
    token = _wanted.set(True)
    try:
        yield
    finally:
        _wanted.reset(token)


def is_wanted() -> bool:
    """Whether a model that is being loaded is wanted in full."""
    return _wanted.get()


@torch.no_grad()
def dequantise(model: Any, weights: Mapping[type, Weight]) -> Any:
    """Put a plain layer in the place of each quantised one, one after the other; `dequantised(model)` names them.

    Args:
        model: of transformers; it forgets that it was quantised.
        weights: for each class of quantised layers, what computes their weight.
    """
    names = [name for name, module in model.named_modules() if isinstance(module, tuple(weights))]
    for name in names:
        layer = model.get_submodule(name)
        weight = next(compute for kind, compute in weights.items() if isinstance(layer, kind))(layer)
        model.set_submodule(name, _plain(weight, layer.bias))
    for attribute in ("hf_quantizer", "quantization_method", "is_loaded_in_4bit", "is_loaded_in_8bit"):
        vars(model).pop(attribute, None)
    if getattr(model.config, "quantization_config", None) is not None:
        del model.config.quantization_config
    if getattr(model, "_weight_conversions", None) is not None:
        model._weight_conversions = [each for each in model._weight_conversions if _goes_back(each)]
    model.is_quantized, model.dequantised = False, tuple(names)
    return model


def dequantised(model: Any) -> tuple[str, ...]:
    """The names of the layers of a model that are plain now and were quantised; () where none was."""
    return tuple(getattr(model, "dequantised", ()))


def _goes_back(conversion: Any) -> bool:
    """Whether what transformers did to a tensor on the way in can be undone; not so where it read few bits."""
    try:
        conversion.reverse_transform()
    except NotImplementedError:
        return False
    return True


def _plain(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.float(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().float(), requires_grad=False)
    return layer
