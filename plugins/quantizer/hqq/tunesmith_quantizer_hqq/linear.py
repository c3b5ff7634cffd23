"""Linear layers to HQQ layers: hqq's own class, which peft knows how to adapt."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from hqq.core.quantize import BaseQuantizeConfig, HQQLinear
from torch import nn
from tunesmith import TunesmithError
from tunesmith_library_weights.experts import fused_experts
from tunesmith_library_weights.mapped import copy_out
from tunesmith_library_weights.packing import device_of, pack_experts
from tunesmith_library_weights.patterns import matches_any, refuse_unknown
from tunesmith_library_weights.shares import say_bits
from tunesmith_library_weights.towers import LANGUAGE, left_out

from .experts import pack

_ROWS_PER_ITEM = {8: 1, 4: 2, 3: 1, 2: 4, 1: 8}  # rows of groups packed into one number; 3 bits are filled up


def replace_linears(
    model: Any, bits: int, group_size: int, axis: int, skip: Sequence[str], towers: Sequence[str] = LANGUAGE
) -> Any:
    """Quantise the linear layers and fused experts of a model in place, each on the device on which it will compute.

    Args:
        bits: per weight.
        group_size: weights that share a scale and a zero point.
        axis: 1 cuts the groups out of rows of the weight (out, in), 0 across them.
        skip: patterns of layers that stay as they are, as `tunesmith_library_weights.matches` reads them.
        towers: the parts of the model whose layers are quantised.

    Returns: the model; its layers compute in the numbers in which their weights were, and hold no other copy of them.

    Raises: TunesmithError when the model is quantised already, a pattern fits nothing, the groups do not fit, or the
        model has no such part.
    """
    if getattr(model.config, "quantization_config", None) is not None:
        raise TunesmithError("quantizer=hqq: this model is stored quantised already.\n  take its 16-bit version")
    head = model.get_output_embeddings()
    linear = {name: layer for name, layer in model.named_modules() if type(layer) is nn.Linear and layer is not head}
    experts = fused_experts(model)
    refuse_unknown("quantizer.skip_modules", skip, [*linear, *(item.name for item in experts)], "layer")
    skip = [*skip, *left_out(model, towers)]
    chosen = {name: layer for name, layer in linear.items() if not matches_any(name, skip)}
    for name, layer in chosen.items():
        _refuse_uneven(name, layer.weight.shape, bits, group_size, axis)
    for item in experts:
        if not matches_any(item.name, skip):
            _refuse_uneven(item.name, item.shape, bits, group_size, axis)
    while chosen:
        name, layer = chosen.popitem()
        model.set_submodule(name, _quantised(layer, bits, group_size, axis))
    pack_experts(model, skip, partial(pack, bits=bits, group_size=group_size, axis=axis))
    say_bits(model, f"in {bits} bits", (HQQLinear,))
    return copy_out(model)


def _quantised(layer: nn.Linear, bits: int, group_size: int, axis: int) -> HQQLinear:
    config = BaseQuantizeConfig(nbits=bits, group_size=group_size, axis=axis)
    made = HQQLinear(layer, config, compute_dtype=layer.weight.dtype, device=str(device_of(layer.weight)))
    if made.bias is not None:
        made.bias = made.bias.detach()  # hqq's copy would hang on the graph of the layer's own
    return made


def _refuse_uneven(name: str, sizes: torch.Size, bits: int, group_size: int, axis: int) -> None:
    """hqq packs several rows of the grouped weight into one number, without looking whether they come out even."""
    matrix = sizes[-2:]  # of experts each is cut into groups by itself
    groups, rest = divmod(matrix.numel(), group_size)
    packed_rows = groups if axis == 1 else group_size
    if rest or packed_rows % _ROWS_PER_ITEM[bits]:
        shape = " × ".join(map(str, matrix))
        raise TunesmithError(
            f"quantizer.group_size={group_size}: the {shape} weights of {name} do not come out even in {bits} bits.\n"
            f"  a smaller group_size, or quantizer.skip_modules=[{name.rpartition('.')[2]}]"
        )
