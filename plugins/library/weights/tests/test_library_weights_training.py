"""Which weights are trained, in which numbers, and when they get them."""

from __future__ import annotations

import torch
from torch import nn
from tunesmith_library_weights.training import cast_later, cast_now, train_only


def test_numbers_may_wait_until_a_layer_is_spread() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).bfloat16()
    cast_later(model)
    train_only(model, {"0.weight"}, "float32", "a test")
    assert model[0].weight.requires_grad and model[0].weight.dtype == torch.bfloat16
    cast_now(model[0])
    assert (model[0].weight.dtype, model[0].bias.dtype) == (torch.float32, torch.bfloat16)
    cast_now(model)  # nothing is left to do


def test_numbers_are_given_at_once_otherwise() -> None:
    model = nn.Linear(2, 2).bfloat16()
    train_only(model, {"weight"}, "float32", "a test")
    assert (model.weight.dtype, model.bias.dtype, model.bias.requires_grad) == (torch.float32, torch.bfloat16, False)
