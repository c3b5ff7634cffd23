"""What GaLore's states are said to take, against what the optimizer holds after a step."""

import dataclasses

import pytest
import torch
from tunesmith.types import OptimizerSettings
from tunesmith_library_testing.parts import estimate_of, load_plain
from tunesmith_optimizer_galore import GaLore


@pytest.mark.parametrize("proj_type", ["std", "reverse_std", "left", "right", "full"])
def test_equals_what_it_holds(proj_type, tiny_llama):
    model = load_plain(tiny_llama)
    plugin = GaLore(rank=5, proj_type=proj_type, target_modules=["self_attn", "down_proj"])
    optimizer = plugin.build_optimizer(model, OptimizerSettings(1e-3, 0.0, 0.9, 0.999, 1e-8))
    model(input_ids=torch.ones(1, 4, dtype=torch.long)).logits.sum().backward()
    optimizer.step()
    held = [value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value)]
    before = estimate_of(model)
    trained = tuple(dataclasses.replace(weight, trained=True) for weight in before.weights)
    found = plugin.estimate(dataclasses.replace(before, weights=trained))
    assert found.bytes("step")["optimizer states"] == sum(value.numel() * value.element_size() for value in held)
