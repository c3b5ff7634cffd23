"""Weights that are computed at each use are not kept for the backward pass, whose gradients stay exact."""

import copy
import gc

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from tunesmith_library_adapting.experts import over_packed
from tunesmith_library_testing.parts import load_plain
from tunesmith_library_weights.experts import ExpertWeight, Packed, fused_experts, shown_whole
from tunesmith_library_weights.forgetting import _Use
from tunesmith_library_weights.packing import pack_experts

IDS = torch.arange(5, 45)[None]
SHAPES = {(4, 64, 64), (4, 64, 32)}
CONFIG = {"r": 4, "target_modules": ["q_proj"], "init_lora_weights": False}
CONFIG |= {"target_parameters": ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]}


class Doubled(Packed):
    """Stores halves."""

    calls = 0

    def dequantise(self, packed: Tensor) -> Tensor:
        type(self).calls += 1
        return packed * 2


def halve(weight: ExpertWeight, value: Tensor) -> tuple[Tensor, Packed]:
    return value / 2, Doubled(weight.shape, value.dtype)


def whole_tensors() -> int:
    """How many tensors of an expert parameter's size are alive, parameters aside."""
    gc.collect()
    return sum(type(item) is Tensor and tuple(item.shape) in SHAPES for item in gc.get_objects())


@pytest.mark.parametrize(
    ("packed", "adapted", "implementation", "checkpointing"),
    [
        pytest.param(True, False, "grouped_mm", False, marks=pytest.mark.slow),
        (True, True, "grouped_mm", False),
        pytest.param(True, True, "eager", False, marks=pytest.mark.slow),
        (False, True, "grouped_mm", False),
        (True, True, "grouped_mm", True),
    ],
)
def test_nothing_is_kept_and_the_gradients_are_the_same(
    tiny_mixtures, packed, adapted, implementation, checkpointing
) -> None:
    """Against the same model where every weight lies in memory in full, and its adapter is peft's alone."""
    plain = load_plain(tiny_mixtures["qwen3_moe"]).requires_grad_(False)
    model = copy.deepcopy(plain)
    if packed:
        assert len(pack_experts(model, [], halve)) == 4
    models = [model, plain]
    if adapted:
        for number, base in enumerate(models):
            torch.manual_seed(0)
            with shown_whole(base):
                models[number] = get_peft_model(base, LoraConfig(**CONFIG))
        over_packed(models[0])
    found = []
    for number, network in enumerate(models):
        base = network.get_base_model() if adapted else network
        base.set_experts_implementation(implementation)
        network.train()
        if checkpointing:
            base.gradient_checkpointing_enable({"use_reentrant": False})
        _Use.let_go()
        before = whole_tensors() if number == 0 else 0
        inputs = plain.get_input_embeddings()(IDS).detach().requires_grad_()
        logits = network(inputs_embeds=inputs).logits
        assert number == 1 or whole_tensors() <= before, "a weight is held"
        logits.square().sum().backward()
        gradients = {name: item.grad for name, item in network.named_parameters() if item.grad is not None}
        found.append({"logits": logits.detach(), "inputs": inputs.grad} | gradients)
    assert found[0].keys() == found[1].keys() and len(found[0]) == (2 + 12 if adapted else 2)
    for name, theirs in found[1].items():
        torch.testing.assert_close(found[0][name], theirs, rtol=1e-4, atol=1e-5 * theirs.abs().max().item(), msg=name)


def test_a_loop_over_experts_dequantises_a_parameter_once_in_each_direction(tiny_mixtures) -> None:
    model = load_plain(tiny_mixtures["qwen3_moe"]).requires_grad_(False)
    pack_experts(model, [], halve)
    model.set_experts_implementation("eager")
    inputs = model.get_input_embeddings()(IDS).detach().requires_grad_()
    Doubled.calls = 0
    logits = model(inputs_embeds=inputs).logits
    assert Doubled.calls == 4
    logits.sum().backward()
    assert Doubled.calls == 8
    with torch.no_grad():
        Doubled.calls = 0
        model(inputs_embeds=inputs)
    assert Doubled.calls == 4


def test_a_copy_computes_with_its_own_weights(tiny_mixtures) -> None:
    model = load_plain(tiny_mixtures["qwen3_moe"]).requires_grad_(False)
    pack_experts(model, [], halve)
    twin = copy.deepcopy(model)
    before = model(input_ids=IDS).logits
    for item in fused_experts(twin):
        item.owner.parametrizations[item.parameter].original.data.zero_()
    assert torch.equal(model(input_ids=IDS).logits, before)
    assert not torch.allclose(twin(input_ids=IDS).logits, before)
