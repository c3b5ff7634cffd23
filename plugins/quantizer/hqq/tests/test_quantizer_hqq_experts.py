"""Fused experts in HQQ: each matrix as hqq itself would round it, exact in computing, and adapters over them."""

import copy
import logging
from pathlib import Path

import pytest
import torch
from hqq.core.quantize import BaseQuantizeConfig, HQQLinear
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from tunesmith import TunesmithError
from tunesmith_library_adapting.adapters import adapt, load
from tunesmith_library_adapting.merging import merge
from tunesmith_library_testing.parts import load_plain, source_of
from tunesmith_library_weights.experts import fused_experts
from tunesmith_quantizer_hqq import Hqq

IDS = torch.arange(5, 45)[None]
TARGETS = {"target_modules": ["q_proj"], "target_parameters": ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]}


class Experts(nn.Module):
    """Two experts of (out, in) = (48, 64), or the other way round."""

    def __init__(self, is_transposed: bool) -> None:
        super().__init__()
        self.num_experts, self.is_transposed = 2, is_transposed
        torch.manual_seed(0)
        self.up_proj = nn.Parameter(torch.randn(2, 64, 48) if is_transposed else torch.randn(2, 48, 64))


class Model(nn.Module):
    def __init__(self, experts: nn.Module) -> None:
        super().__init__()
        self.experts, self.config = experts, type("Config", (), {})()

    def get_output_embeddings(self) -> None:
        return None


def twins(folder: Path, **options):
    """A quantised model, and a plain one whose weights are what the quantised one says that its weights are."""
    quantised, plain = Hqq(group_size=32, **options).quantize(load_plain(folder)), load_plain(folder)
    for name, layer in quantised.named_modules():
        if isinstance(layer, HQQLinear):
            plain.get_submodule(name).weight.data.copy_(layer.dequantize())
    for ours, theirs in zip(fused_experts(quantised), fused_experts(plain), strict=True):
        assert ours.packed and ours.name == theirs.name
        theirs.value.data.copy_(ours.value)
    return quantised, plain


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("bits", "axis"), [(8, 1), (4, 1), (4, 0), (3, 1), (3, 0), (2, 1), (1, 0)])
def test_every_matrix_is_what_hqqs_own_layer_makes_of_it(bits: int, axis: int, transposed: bool) -> None:
    """Groups along the inputs of one output (axis 1) or across outputs, never over two experts."""
    experts = Experts(transposed)
    matrices = [(matrix.T if transposed else matrix).detach().clone() for matrix in experts.up_proj]
    Hqq(bits=bits, axis=axis, group_size=32).quantize(Model(experts))
    assert experts.up_proj.shape == ((2, 64, 48) if transposed else (2, 48, 64))
    for found, matrix in zip(experts.up_proj, matrices, strict=True):
        layer = nn.Linear(64, 48, bias=False)
        layer.weight.data = matrix
        config = BaseQuantizeConfig(nbits=bits, group_size=32, axis=axis)
        expected = HQQLinear(layer, config, compute_dtype=torch.float32, device="cpu").dequantize()
        assert torch.equal(found.T if transposed else found, expected)


@pytest.mark.parametrize("architecture", ["qwen3_moe", "gpt_oss"])
def test_computes_as_a_model_of_the_dequantised_weights(tiny_mixtures, architecture) -> None:
    """Logits and gradients, by every implementation of experts that transformers has."""
    models = twins(tiny_mixtures[architecture])
    for implementation in ("grouped_mm", "batched_mm", "eager"):
        found = []
        for model in models:
            model.set_experts_implementation(implementation)
            inputs = models[1].get_input_embeddings()(IDS).detach().requires_grad_()
            logits = model(inputs_embeds=inputs).logits
            logits.square().sum().backward()
            found.append((logits.detach(), inputs.grad))
        for ours, theirs in zip(*found, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5 * theirs.abs().max().item())


@pytest.mark.parametrize("implementation", ["grouped_mm", "eager"])
def test_adapters_learn_over_it_exactly(tiny_mixtures, tmp_path: Path, implementation) -> None:
    """Three steps of LoRA over few bits and over the dequantised weights, these with peft alone; loaded over either."""
    quantised, plain = twins(tiny_mixtures["qwen3_moe"])
    fresh = copy.deepcopy(quantised)
    models, results = [], []
    for model, put in ((quantised, adapt), (plain, get_peft_model)):
        model.set_experts_implementation(implementation)
        torch.manual_seed(1)
        models.append(put(model, LoraConfig(r=4, lora_alpha=8, **TARGETS)))
    for model in models:
        trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        optimizer = torch.optim.SGD(trained.values(), lr=1.0)
        for _ in range(3):
            model(input_ids=IDS, labels=IDS).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        results.append((trained, model(input_ids=IDS).logits.detach()))
    assert results[0][0].keys() == results[1][0].keys(), "an adapter fits whole and packed experts alike"
    assert any("experts" in name and "lora_B" in name and weight.abs().max() > 0 for name, weight in trained.items())
    for name, weight in results[0][0].items():
        torch.testing.assert_close(weight, results[1][0][name], rtol=1e-4, atol=1e-6)
    models[0].save_pretrained(tmp_path)
    again = load(fresh, tmp_path, source_of(tmp_path, training=False))
    whole = PeftModel.from_pretrained(models[1].unload(), tmp_path)
    for model in (again, whole):
        torch.testing.assert_close(model(input_ids=IDS).logits, results[0][1], rtol=0, atol=1e-5)
    with pytest.raises(TunesmithError, match=r"cannot be merged.*rounded to its few bits"):
        merge(models[0])


def test_experts_can_be_left_out(tiny_mixtures, caplog) -> None:
    with caplog.at_level(logging.INFO, logger="tunesmith"):
        model = Hqq(group_size=32, skip_modules=["down_proj"]).quantize(load_plain(tiny_mixtures["qwen3_moe"]))
    assert [item.packed for item in fused_experts(model)] == [True, False] * 2
    assert "in 4 bits: 58% of the weights (not: lm_head" in caplog.text and "mlp.experts.down_proj (" in caplog.text
    with pytest.raises(TunesmithError, match=r"did you mean down_proj\?"):
        Hqq(skip_modules=["down_porj"]).quantize(load_plain(tiny_mixtures["qwen3_moe"]))


def test_groups_that_do_not_come_out_even_are_refused(tiny_mixtures) -> None:
    with pytest.raises(TunesmithError, match=r"group_size=4096: the 64 × 32 weights of (.|\n)*experts.down_proj"):
        Hqq(group_size=4096, skip_modules=["self_attn", "gate_up_proj"]).quantize(
            load_plain(tiny_mixtures["qwen3_moe"])
        )
