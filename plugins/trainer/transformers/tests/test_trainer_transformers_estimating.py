"""What training is said to cost beside the model, against what PyTorch's optimizers hold."""

import dataclasses

import pytest
import torch
from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_testing.parts import StubPlan, estimate_of, load_plain
from tunesmith_trainer_transformers import Transformers


def estimate(before, optimizer=None, **options):
    trainer = Transformers(**options)
    plan = StubPlan({"trainer": {"transformers": trainer}, "optimizer": {"mine": None}} if optimizer else {})
    return trainer.estimate(estimate=before, plan=plan)


@pytest.fixture
def trained(tiny_llama):
    """A tiny model of which all is trained, and its estimate."""
    model = load_plain(tiny_llama)
    before = estimate_of(model)
    weights = tuple(dataclasses.replace(weight, trained=True) for weight in before.weights)
    return model, dataclasses.replace(before, weights=weights)


@pytest.mark.parametrize(
    ("optim", "made"),
    [
        ("adamw_torch", torch.optim.AdamW),
        ("adamw_torch_fused", torch.optim.AdamW),
        ("sgd", torch.optim.SGD),
        ("adagrad", torch.optim.Adagrad),
        ("rmsprop", torch.optim.RMSprop),
    ],
)
def test_states_and_gradients(optim, made, trained):
    model, before = trained
    optimizer = made(model.parameters(), lr=1e-3)
    model(input_ids=torch.ones(1, 4, dtype=torch.long)).logits.sum().backward()
    optimizer.step()
    states = [value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value)]
    held = sum(value.numel() * value.element_size() for value in states if value.ndim)
    found = estimate(before, optim=optim)
    assert found.bytes("step").get("optimizer states", 0) == held
    assert found.bytes("step")["gradients"] == sum(w.grad.numel() * w.grad.element_size() for w in model.parameters())


def test_phases(trained):
    _, before = trained
    assert "gradients" not in estimate(before).bytes("forward")
    assert "gradients" in estimate(before, gradient_accumulation_steps=2).bytes("forward")
    assert "optimizer states" not in estimate(before).bytes("load")
    found = estimate(dataclasses.replace(before, length=10), per_device_train_batch_size=3)
    assert found.tokens == 30 and found.bytes("forward")["activations"] > 0


def test_what_the_trainer_leaves_to_others(trained):
    _, before = trained
    assert "optimizer states" not in estimate(before, optimizer="mine").memory
    unknown = estimate(before, optim="somebodys")
    assert "the states of trainer.optim=somebodys" in unknown.unknown and "optimizer states" not in unknown.memory
    assert any("sharding of trainer.fsdp" in said for said in estimate(before, fsdp="full_shard").unknown)


def test_passes():
    """All weights: 3 passes. None below the last layer: its share alone. With checkpointing the layers again."""
    names = [f"model.layers.{layer}.mlp.up_proj.weight" for layer in range(4)]
    weights = [Weight(name, (8, 8), "linear", 32) for name in names]
    every = Estimate("fp32", tuple(dataclasses.replace(weight, trained=True) for weight in weights))
    last = Estimate("fp32", (*weights[:3], dataclasses.replace(weights[3], trained=True)))
    assert estimate(every).passes == 3
    assert estimate(every, gradient_checkpointing=True).passes == 4
    assert estimate(last).passes == 1 + 0.25 + 0.25
    large = dataclasses.replace(every, vocabulary=32, hidden_size=8)
    assert estimate(large, gradient_checkpointing=True).passes == 3.5, "its output is not computed again"
