"""What APOLLO's states are said to take, against what the optimizer holds after a step."""

import dataclasses

import pytest
import torch
from tunesmith.types import OptimizerSettings
from tunesmith_library_testing.parts import estimate_of, load_plain
from tunesmith_optimizer_apollo import Apollo, ApolloMini


@pytest.mark.parametrize(
    "plugin", [Apollo(rank=5), ApolloMini(), Apollo(rank=50, target_modules=["mlp"]), Apollo(rank=5, proj="svd")]
)
def test_equals_what_it_holds(plugin, tiny_llama):
    model = load_plain(tiny_llama)
    optimizer = plugin.build_optimizer(model, OptimizerSettings(1e-3, 0.0, 0.9, 0.999, 1e-8))
    model(input_ids=torch.ones(1, 4, dtype=torch.long)).logits.sum().backward()
    optimizer.step()
    held = [value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value)]
    before = estimate_of(model)
    trained = tuple(dataclasses.replace(weight, trained=True) for weight in before.weights)
    found = plugin.estimate(dataclasses.replace(before, weights=trained))
    assert found.bytes("step")["optimizer states"] == sum(value.numel() * value.element_size() for value in held)
