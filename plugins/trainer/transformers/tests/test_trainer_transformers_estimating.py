"""What training is said to cost beside the model, against what PyTorch's optimizers hold."""

import dataclasses

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_estimates.working import Extent
from tunesmith_library_testing.allocating import highest_allocation
from tunesmith_library_testing.parts import StubPlan, estimate_of, load_plain
from tunesmith_trainer_transformers import Transformers
from tunesmith_trainer_transformers.evaluating import of_evaluation


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


@pytest.mark.parametrize(
    ("dtype", "precision"), [(torch.float32, "fp32"), (torch.bfloat16, "bf16"), (torch.float32, "bf16")]
)
def test_a_pass_of_an_evaluation(dtype, precision):
    """Beside what torch allocates for one without gradients, of the layers alone."""
    shape = {"hidden_size": 128, "intermediate_size": 352, "num_attention_heads": 4, "num_key_value_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(**shape, num_hidden_layers=4, vocab_size=64)).to(dtype)
    before = dataclasses.replace(estimate_of(model), precision=precision)
    trained = tuple(dataclasses.replace(weight, trained=True) for weight in before.weights)
    made = estimate(dataclasses.replace(before, weights=trained))
    ids, on = torch.ones(4, 200, dtype=torch.long), dtype == torch.float32 and precision == "bf16"
    with highest_allocation() as found, torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=on):
        model.model(input_ids=ids, use_cache=False)
    assert of_evaluation(made, ids.numel()) == pytest.approx(found.bytes, rel=0.08)


def test_evaluations_of_more_examples_than_are_trained_at_once(trained):
    _, before = trained
    data = Extent(examples=20, longest=(9, 8, 7, 6), held_out=4)
    before = dataclasses.replace(before, data=data)
    options = {"per_device_train_batch_size": 1, "per_device_eval_batch_size": 8, "eval_strategy": "epoch"}
    found = estimate(before, **options)
    assert found.bytes("generate")["a pass of an evaluation"] == of_evaluation(found, 9 + 8 + 7 + 6)
    assert "gradients" not in found.bytes("generate") and "optimizer states" in found.bytes("generate")
    offered = [change.overrides for change in found.changes]
    assert ("trainer.per_device_eval_batch_size=auto",) in offered
    for fewer in ({"per_device_eval_batch_size": 1}, {"eval_strategy": "no"}):
        assert "a pass of an evaluation" not in estimate(before, **{**options, **fewer}).memory


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
