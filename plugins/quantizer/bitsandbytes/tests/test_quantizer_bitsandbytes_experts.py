"""Fused experts in few bits of bitsandbytes: the closed forms, packed while they are read, and exact in computing."""

import logging
from pathlib import Path

import bitsandbytes
import pytest
import torch
from bitsandbytes.nn import Linear4bit
from peft import LoraConfig
from tunesmith import TunesmithError
from tunesmith_library_adapting.adapters import adapt
from tunesmith_library_adapting.merging import merge
from tunesmith_library_testing.parts import load_plain, source_of
from tunesmith_library_weights.experts import fused_experts
from tunesmith_quantizer_bitsandbytes import Bitsandbytes

IDS = torch.arange(5, 45)[None]


def loaded(folder: Path, **options):
    """As the pipeline loads and quantises it: the plugin wraps the loading."""
    quantizer = Bitsandbytes(**options)
    around = quantizer.load_model()
    next(around)
    model = load_plain(folder, "float32", quantization_config=quantizer.quantization_config(source_of(folder)))
    with pytest.raises(StopIteration):
        around.send(model)
    return quantizer.quantize(model)


def test_nf4_is_the_nearest_of_16_quantiles(tiny_mixtures) -> None:
    """w ≈ c_i · max|w_block| over blocks of 64 numbers, the 16 values from the paper's appendix E."""
    values = [-1.0, -0.6961928, -0.5250730, -0.3949175, -0.2844413, -0.1847734, -0.0910500, 0.0]
    values += [0.0795803, 0.1609302, 0.2461123, 0.3379152, 0.4407098, 0.5626170, 0.7229568, 1.0]
    original = load_plain(tiny_mixtures["qwen3_moe"]).get_parameter("model.layers.0.mlp.experts.gate_up_proj")
    model = loaded(tiny_mixtures["qwen3_moe"], double_quant=False)
    blocks = original.detach().reshape(-1, 64)
    largest = blocks.abs().amax(1, keepdim=True)
    nearest = ((blocks / largest)[..., None] - torch.tensor(values)).abs().argmin(-1)
    expected = (torch.tensor(values)[nearest] * largest).view_as(original)
    found = model.model.layers[0].mlp.experts.gate_up_proj
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", ["qwen3_moe", "gpt_oss"])
def test_8_bits_have_a_scale_for_each_row(tiny_mixtures, architecture) -> None:
    """w ≈ round(127 w / max|w_row|) max|w_row| / 127, a row being the inputs of one output."""
    plain, model = load_plain(tiny_mixtures[architecture]), loaded(tiny_mixtures[architecture], bits=8)
    for ours, theirs in zip(fused_experts(model), fused_experts(plain), strict=True):
        inputs = 1 if architecture == "gpt_oss" else 2
        largest = theirs.value.detach().abs().amax(inputs, keepdim=True)
        expected = (127 * theirs.value.detach() / largest).round() * largest / 127
        torch.testing.assert_close(ours.value, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "options", [{}, {"bits": 8}, {"storage": "float32", "quant_type": "fp4"}, {"skip_modules": ["down_proj"]}]
)
def test_experts_are_never_there_in_full(tiny_mixtures, options) -> None:
    """What is read is packed before the next weight is; a model that was read without that is packed afterwards."""
    folder = tiny_mixtures["qwen3_moe"]
    model = loaded(folder, **options)
    quantizer = Bitsandbytes(**options)
    config = quantizer.quantization_config(source_of(folder))
    later = load_plain(folder, "float32", quantization_config=config)
    assert not any(item.packed for item in fused_experts(later))
    later = quantizer.quantize(later)
    packed = [item.name for item in fused_experts(model) if item.packed]
    assert len(packed) == (2 if "skip_modules" in options else 4)
    for one, other in zip(fused_experts(model), fused_experts(later), strict=True):
        assert one.name == other.name and one.packed == other.packed and torch.equal(one.value, other.value)
    held = {name: weight.numel() * weight.element_size() for name, weight in model.named_parameters()}
    of_experts = sum(size for name, size in held.items() if "parametrizations" in name)
    assert of_experts == sum(item.shape.numel() for item in fused_experts(model) if item.packed) * quantizer.bits // 8


def test_a_reader_of_ours_stays_no_longer_than_it_is_needed(tiny_mixtures) -> None:
    from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING

    before = dict(AUTO_QUANTIZER_MAPPING)
    loaded(tiny_mixtures["qwen3_moe"])
    assert before == AUTO_QUANTIZER_MAPPING


@pytest.mark.parametrize("architecture", ["qwen3_moe", "gpt_oss"])
def test_computes_as_a_model_of_the_dequantised_weights(tiny_mixtures, architecture) -> None:
    """Logits and gradients of adapters, by every implementation of experts that transformers has."""
    model, plain = loaded(tiny_mixtures[architecture]), load_plain(tiny_mixtures[architecture])
    for name, layer in model.named_modules():
        if isinstance(layer, Linear4bit):
            weight = bitsandbytes.functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
            plain.get_submodule(name).weight.data.copy_(weight)
    for ours, theirs in zip(fused_experts(model), fused_experts(plain), strict=True):
        theirs.value.data.copy_(ours.value)
    targets = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
    adapted = []
    for base in (model, plain):
        torch.manual_seed(1)
        config = LoraConfig(r=4, target_modules=["q_proj"], target_parameters=targets, init_lora_weights=False)
        adapted.append(adapt(base, config))
    for implementation in ("grouped_mm", "batched_mm", "eager"):
        found = []
        for peft in adapted:
            peft.get_base_model().set_experts_implementation(implementation)
            peft.zero_grad()
            output = peft(input_ids=IDS, labels=IDS)
            output.loss.backward()
            gradients = {name: weight.grad for name, weight in peft.named_parameters() if weight.requires_grad}
            assert len(gradients) == 2 * (2 + 4) and all(gradient.abs().max() > 0 for gradient in gradients.values())
            found.append({"logits": output.logits.detach()} | gradients)
        for name, theirs in found[1].items():
            torch.testing.assert_close(found[0][name], theirs, rtol=1e-4, atol=1e-5, msg=name)
    with pytest.raises(TunesmithError, match=r"cannot be merged.*rounded to its few bits"):
        merge(adapted[0])


def test_the_share_is_said(tiny_mixtures, caplog) -> None:
    with caplog.at_level(logging.INFO, logger="tunesmith"):
        model = loaded(tiny_mixtures["qwen3_moe"], skip_modules=["experts"])
    head = 64 * model.config.vocab_size
    share = 100 * 2 * 12288 / (head + 2 * (12288 + 24576 + 256))
    assert f"in 4 bits: {share:.0f}% of the weights (not: mlp.experts.gate_up_proj" in caplog.text
    with pytest.raises(TunesmithError, match=r"did you mean down_proj\?"):
        loaded(tiny_mixtures["qwen3_moe"], skip_modules=["down_porj"])
