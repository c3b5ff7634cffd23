"""What moments in 8 bits are said to take, against what the optimizer holds after a step."""

import dataclasses

import pytest
import torch
from tunesmith.types import OptimizerSettings
from tunesmith_library_testing.parts import estimate_of, load_plain
from tunesmith_optimizer_adamw8bit import AdamW8bit


@pytest.mark.parametrize(
    "options", [{}, {"min_8bit_size": 64}, {"embeddings_in_32_bit": False}, {"min_8bit_size": 10**6}]
)
def test_equals_what_it_holds(options, tiny_llama):
    model, plugin = load_plain(tiny_llama), AdamW8bit(**options)
    optimizer = plugin.build_optimizer(model, OptimizerSettings(1e-3, 0.0, 0.9, 0.999, 1e-8))
    model(input_ids=torch.ones(1, 4, dtype=torch.long)).logits.sum().backward()
    optimizer.step()
    held = [
        value
        for state in optimizer.state.values()
        for name, value in state.items()
        if torch.is_tensor(value) and value.ndim and not name.startswith("qmap")
    ]
    before = estimate_of(model)
    trained = tuple(dataclasses.replace(weight, trained=True) for weight in before.weights)
    found = plugin.estimate(dataclasses.replace(before, weights=trained))
    expected = sum(value.numel() * value.element_size() for value in held)
    assert found.bytes("step")["optimizer states"] == pytest.approx(expected, rel=1e-3)
