"""Weights without a gradient are named by their place in all layers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tunesmith_library_training.gradients import Gradients


class Layer(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up = torch.nn.Linear(4, 4, bias=False)
        self.down = torch.nn.Linear(4, 4, bias=False)


class Layers(torch.nn.Module):
    """Three layers; what an option names is multiplied by 0, or not asked at all."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList(Layer() for _ in range(3))
        self.unused = torch.nn.Linear(4, 4, bias=False)

    def forward(self, hidden: Any, silent: tuple[int, ...]) -> Any:
        for place, layer in enumerate(self.layers):
            part: Any = layer
            hidden = hidden + part.up(hidden) + part.down(hidden) * float(place not in silent)
        return hidden.sum()


def told(silent: tuple[int, ...]) -> dict[str, float]:
    model, gradients = Layers(), Gradients()
    model(torch.ones(1, 4), silent).backward()
    gradients.look(model)
    return gradients.told()


def test_a_place_counts_where_it_is_silent_in_all_layers() -> None:
    assert told(silent=()) == told(silent=(1,)) == {"zero_gradient/unused": 1.0}
    assert told(silent=(0, 1, 2)) == {"zero_gradient/layers.*.down": 3.0, "zero_gradient/unused": 1.0}


def test_frozen_weights_have_none_to_lack() -> None:
    model, gradients = Layers(), Gradients()
    model.unused.requires_grad_(False)
    model(torch.ones(1, 4), ()).backward()
    gradients.look(model)
    assert gradients.told() == {}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e-45])
def test_what_is_no_zero_is_a_gradient(value: float) -> None:
    model, gradients = torch.nn.Linear(2, 2), Gradients()
    for weight in model.parameters():
        weight.grad = torch.full_like(weight, value)
    gradients.look(model)
    assert gradients.told() == {}


def test_gradients_that_an_optimizer_took_say_nothing() -> None:
    """Nor does a run before its first look."""
    gradients = Gradients()
    assert gradients.told() == {}
    gradients.look(torch.nn.Linear(2, 2))
    assert gradients.told() == {}


def test_names_of_adapters_are_the_models() -> None:
    from tunesmith_library_training.gradients import _by_group

    names = [f"base_model.model.model.layers.{place}.mlp.up_proj.lora_B.default.weight" for place in range(4)]
    assert _by_group([*names, "module.lm_head.weight"]) == {"model.layers.*.mlp.up_proj.lora_B": 4, "lm_head": 1}
