"""The linear layers of a loaded model: quantised in groups, or made to round their weights in training.

A group of g weights of a row (out, in) has one scale s: w ≈ s clamp(round(w / s), -2^(b-1), 2^(b-1) - 1), with s from
the group's extremes. Inputs of `int8_dynamic_intx` are rounded to 8 bits with a scale and a zero point per token.
Quantisation-aware training computes y = x Q(W)^T with whole W and passes the gradient straight through the rounding,
dL/dW = dL/dQ(W) where it does not clamp (Jacob et al. 2018, arXiv 1712.05877, section 3; Bengio et al. 2013,
arXiv 1308.3432).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torchao.quantization import (
    Int4WeightOnlyConfig,
    Int8DynamicActivationIntxWeightConfig,
    IntxWeightOnlyConfig,
    PerGroup,
    quantize_,
)
from torchao.quantization.qat import QATConfig
from transformers import TorchAoConfig
from transformers.quantizers.auto import AutoHfQuantizer
from tunesmith import TunesmithError
from tunesmith_library_weights.patterns import matches_any, refuse_unknown
from tunesmith_library_weights.towers import LANGUAGE, left_out

_INSTEAD = "  instead: quantizer=bitsandbytes or quantizer=hqq (4 bits anywhere), or quantizer.scheme=intx_weight_only"


def refuse_without_kernel(precision: str) -> None:
    """Raises: TunesmithError when this machine cannot multiply int4 weights: that is CUDA, from Ampere on, in bf16."""
    found = "no CUDA GPU"
    if torch.cuda.is_available():
        major, minor = torch.cuda.get_device_capability()
        found = f"{torch.cuda.get_device_name()}, compute capability {major}.{minor}" if major < 8 else ""
    if found:
        raise TunesmithError(
            "quantizer.scheme=int4_weight_only needs a CUDA GPU of compute capability 8.0 or more (Ampere).\n"
            f"  found: {found}\n{_INSTEAD}"
        )
    if precision != "bf16":
        raise TunesmithError(
            f"quantizer.scheme=int4_weight_only computes in bf16; this run computes in {precision}.\n  precision=bf16"
        )


def chosen_layers(model: Any, skip: Sequence[str], towers: Sequence[str] = LANGUAGE) -> dict[str, nn.Linear]:
    """The linear layers of some parts of a model by name, without the output head and those that patterns name.

    Raises: TunesmithError when a pattern fits no layer, or the model does not have such a part.
    """
    head = model.get_output_embeddings()
    linear = {name: layer for name, layer in model.named_modules() if isinstance(layer, nn.Linear)}
    refuse_unknown("quantizer.skip_modules", skip, list(linear), "layer")
    left = [*skip, *left_out(model, towers)]
    return {name: layer for name, layer in linear.items() if layer is not head and not matches_any(name, left)}


def freeze(layers: Mapping[str, nn.Linear]) -> None:
    """Let no weight be trained."""
    for layer in layers.values():
        layer.weight.requires_grad_(False)


def quantise(model: Any, layers: Mapping[str, nn.Linear], scheme: str, bits: int, group_size: int) -> None:
    """Store the weights of these layers in few bits, in place.

    Raises: TunesmithError when the model is stored quantised, or groups do not fill a row.
    """
    _refuse_uneven(model, layers, group_size)
    config = _config(scheme, bits, group_size)
    quantize_(model, config, filter_fn=lambda _, name: name in layers)
    # peft asks here how the weights are quantised
    model.hf_quantizer = AutoHfQuantizer.from_config(TorchAoConfig(quant_type=config), pre_quantized=False)


def round_in_training(model: Any, layers: Mapping[str, nn.Linear], scheme: str, bits: int, group_size: int) -> None:
    """Let these layers compute with rounded weights, in place, and keep the whole ones to be trained and saved.

    Raises: TunesmithError when the model is stored quantised, or groups do not fill a row.
    """
    _refuse_uneven(model, layers, group_size)
    config = QATConfig(_config(scheme, bits, group_size), step="prepare")
    quantize_(model, config, filter_fn=lambda _, name: name in layers)


def _config(scheme: str, bits: int, group_size: int) -> Any:
    """torchao's configuration of a scheme with groups."""
    if scheme == "int4_weight_only":
        packing: Any = "tile_packed_to_4d"
        return Int4WeightOnlyConfig(group_size, set_inductor_config=False, int4_packing_format=packing)
    dtype, group = getattr(torch, f"int{bits}"), PerGroup(group_size)
    if scheme == "intx_weight_only":
        return IntxWeightOnlyConfig(dtype, group)
    return Int8DynamicActivationIntxWeightConfig(dtype, group)


def _refuse_uneven(model: Any, layers: Mapping[str, nn.Linear], group_size: int) -> None:
    if getattr(model.config, "quantization_config", None) is not None:
        raise TunesmithError("quantizer=torchao: this model is stored quantised already.\n  take its 16-bit version")
    for name, layer in layers.items():
        if layer.in_features % group_size:
            raise TunesmithError(
                f"quantizer.group_size={group_size}: {name} has {layer.in_features} inputs, which it does not divide.\n"
                f"  a divisor, such as quantizer.group_size={layer.in_features & -layer.in_features}, or "
                f"quantizer.skip_modules=[{name.rpartition('.')[2]}]"
            )
