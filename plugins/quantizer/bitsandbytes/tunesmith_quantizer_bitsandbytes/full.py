"""What bitsandbytes' layers stand for, in float32; its own functions round to the numbers that a layer computes in."""

from __future__ import annotations

import copy
from typing import Any

import torch
from bitsandbytes import functional
from torch import Tensor


def weight_of_4_bits(layer: Any) -> Tensor:
    """The weight (out, in): the value of each code times the largest magnitude of its block."""
    state = copy.copy(layer.weight.quant_state)
    state.dtype = torch.float32
    weight: Tensor = functional.dequantize_4bit(layer.weight.data, state)
    return weight


def weight_of_8_bits(layer: Any) -> Tensor:
    """The weight (out, in): each whole number times its row's largest magnitude, over 127."""
    held = layer.weight if layer.weight.SCB is not None else layer.state  # where the first evaluation puts them
    whole = layer.weight.data if held.CB is None else held.CB
    weight: Tensor = whole.float() * (held.SCB.float() / 127)[:, None]
    return weight
