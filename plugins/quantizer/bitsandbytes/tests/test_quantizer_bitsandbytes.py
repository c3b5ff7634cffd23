"""bitsandbytes: the numbers of a weight, their size, and that training over it survives an evaluation."""

import copy
import json
import logging
from pathlib import Path

import pytest
import torch
from bitsandbytes.nn import Linear4bit, Linear8bitLt
from tunesmith import TunesmithError
from tunesmith.validate import structured
from tunesmith_library_testing import QuantizerSuite
from tunesmith_library_testing.parts import (
    StubPlan,
    collate,
    examples,
    load_plain,
    logits_of,
    mean_loss,
    source_of,
    train,
)
from tunesmith_quantizer_bitsandbytes import Bitsandbytes

# The 16 values of a 4-bit NormalFloat: quantiles of N(0, 1), 8 above zero, 7 below, and zero (QLoRA, appendix E).
NF4 = (
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635),
    *(-0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725),
    *(0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
)


class TestBitsandbytes(QuantizerSuite):
    plugin = Bitsandbytes


class TestFp4(QuantizerSuite):
    plugin = Bitsandbytes
    options = {"quant_type": "fp4", "double_quant": False}
    error_bounds = {4: 0.2}


def quantised(folder: Path, precision: str = "fp32", **options):
    """The tiny model as the pipeline quantises it."""
    quantizer = Bitsandbytes(**options)
    config = quantizer.quantization_config(source_of(folder, precision=precision))
    dtype = {"fp32": "float32", "bf16": "bfloat16"}[precision]
    return quantizer.quantize(load_plain(folder, dtype, quantization_config=config))


def weight_of(layer) -> torch.Tensor:
    """A layer's weight (out, in), read off its outputs."""
    with torch.no_grad():
        return layer(torch.eye(layer.in_features)).T


def test_nf4_is_the_nearest_of_16_quantiles(tiny_llama: Path) -> None:
    """The closed form: w ≈ c_i · max|w_block| over blocks of 64 weights."""
    name = "model.layers.0.mlp.up_proj"
    layer = quantised(tiny_llama, double_quant=False).get_submodule(name)
    blocks = load_plain(tiny_llama).get_submodule(name).weight.detach().reshape(-1, 64)
    scale = blocks.abs().amax(1, keepdim=True)
    values = torch.tensor(NF4)
    nearest = ((blocks / scale)[..., None] - values).abs().argmin(-1)
    expected = (values[nearest] * scale).reshape(layer.out_features, layer.in_features)
    torch.testing.assert_close(weight_of(layer), expected, atol=1e-6, rtol=1e-5)


def test_eight_bits_are_rounded_by_row(tiny_llama: Path) -> None:
    name = "model.layers.0.mlp.up_proj"
    layer = quantised(tiny_llama, bits=8).get_submodule(name).train()  # trained in floating point on a CPU
    weight = load_plain(tiny_llama).get_submodule(name).weight.detach()
    scale = weight.abs().amax(1, keepdim=True) / 127
    expected = (weight / scale).round() * scale
    # bitsandbytes takes the rows in float16 before it rounds, so that a value in the middle may fall to either side
    assert (weight_of(layer) - expected).abs().max() <= 1.01 * scale.max()
    assert (weight_of(layer) - expected).abs().mean() <= 0.02 * scale.mean()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"double_quant": False}, 4 + 32 / 64),  # one float32 per 64 weights
        ({"double_quant": True}, 4 + 8 / 64 + 32 / (64 * 256)),  # 8 bits per 64, and one float32 per 256 of these
        ({"bits": 8}, 8 + 32 / 64),  # one float32 per row; the layer of this test has rows of 64
    ],
)
def test_memory_is_what_the_bits_say(tiny_llama: Path, options, expected) -> None:
    """Bytes of a layer's tensors against the bits that theory gives each weight; code books apart."""
    layer = quantised(tiny_llama, **options).get_submodule("model.layers.0.mlp.up_proj")
    layer(torch.zeros(1, layer.in_features))
    if isinstance(layer, Linear8bitLt):
        held = [layer.weight.data, layer.state.SCB]
    else:
        state = layer.weight.quant_state
        held = [layer.weight.data, state.absmax, *([state.state2.absmax] if state.nested else [])]
    bits = 8 * sum(tensor.numel() * tensor.element_size() for tensor in held) / (layer.in_features * layer.out_features)
    assert bits == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    ("skip", "kept"),
    [
        ([], []),
        (["o_proj"], ["layers.0.self_attn.o_proj", "layers.1.self_attn.o_proj"]),
        (
            ["layers.1.self_attn", "layers.0.*.up_*"],
            [f"layers.1.self_attn.{x}_proj" for x in "qkvo"] + ["layers.0.mlp.up_proj"],
        ),
        (["proj"], None),
    ],
)
def test_the_output_head_and_what_is_skipped_keep_their_numbers(tiny_llama: Path, skip, kept) -> None:
    if kept is None:
        with pytest.raises(TunesmithError, match=r"(?s)quantizer\.skip_modules=proj: fits no layer.*did you mean"):
            quantised(tiny_llama, skip_modules=skip)
        return
    model = quantised(tiny_llama, skip_modules=skip)
    plain = {name for name, module in model.named_modules() if type(module) is torch.nn.Linear}
    assert plain == {"lm_head", *(f"model.{name}" for name in kept)}


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_layers_compute_in_the_precision_of_the_run(tiny_llama: Path, precision: str, dtype: torch.dtype) -> None:
    layer = quantised(tiny_llama, precision).get_submodule("model.layers.1.self_attn.q_proj")
    assert isinstance(layer, Linear4bit) and layer.compute_dtype == dtype


@pytest.mark.parametrize("options", [{}, {"bits": 8}])
def test_an_evaluation_changes_nothing(tiny_llama: Path, tiny_bpe, options) -> None:
    """Gradients through the quantised layers are the same after an evaluation as before it."""
    model = quantised(tiny_llama, **options)
    batch = collate(examples(tiny_bpe))
    scales = [torch.nn.Parameter(torch.ones(64)) for _ in model.model.layers]
    for layer, scale in zip(model.model.layers, scales, strict=True):
        layer.input_layernorm.weight = scale

    def gradients():
        model.train()
        for scale in scales:
            scale.grad = None
        mean_loss(model, batch).backward()
        return [scale.grad.clone() for scale in scales]

    before = gradients()
    model.eval()
    with torch.no_grad():
        mean_loss(model, batch)
    for one, other in zip(gradients(), before, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_dequantised_after_an_evaluation_it_is_the_same(tiny_llama: Path, tiny_bpe) -> None:
    from bitsandbytes.functional import dequantize_4bit

    model = quantised(tiny_llama)
    layer = model.get_submodule("model.layers.0.mlp.up_proj")
    fresh = dequantize_4bit(layer.weight.data, layer.weight.quant_state).clone()
    logits_of(model, tiny_bpe)
    assert torch.equal(dequantize_4bit(layer.weight.data, layer.weight.quant_state), fresh)


@pytest.mark.parametrize("options", [{}, {"bits": 8}])
def test_quantising_is_deterministic(tiny_llama: Path, tiny_bpe, options) -> None:
    """The base is quantised anew at every load, so that the adapter of a run finds what it was trained over."""
    first, second = (logits_of(quantised(tiny_llama, **options), tiny_bpe) for _ in range(2))
    assert torch.equal(first, second)


def test_a_model_that_is_stored_in_few_bits(tiny_llama: Path, tiny_bpe, tmp_path: Path, caplog) -> None:
    """Its own bits hold, not the options; on a CPU it needs the plugin as much as one that is quantised here."""
    model = quantised(tiny_llama, quant_type="fp4")
    model.save_pretrained(tmp_path)
    caplog.set_level(logging.INFO, "tunesmith")
    again = quantised(tmp_path)
    assert "the bits that the model is stored in" in caplog.text
    layer = again.get_submodule("model.layers.0.mlp.up_proj")
    assert layer.weight.quant_state.quant_type == "fp4" and not layer.support_avx512bf16_for_cpu
    assert torch.equal(logits_of(again, tiny_bpe), logits_of(model, tiny_bpe))


def test_bits_of_another_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": {"quant_method": "gptq"}}))
    with pytest.raises(TunesmithError, match=r"(?s)stored in few bits already \(gptq\).*16-bit version"):
        Bitsandbytes().quantization_config(source_of(tmp_path))


def perplexity(model, batch) -> float:
    with torch.no_grad():
        return mean_loss(model.eval(), batch).exp().item()


def test_a_trained_model_keeps_its_perplexity(tiny_llama: Path, tiny_bpe, tmp_path: Path) -> None:
    """On chats that a model knows by heart, 8 bits lose next to nothing and 4 bits little."""
    model, batch = load_plain(tiny_llama), collate(examples(tiny_bpe))
    untrained = perplexity(copy.deepcopy(model), batch)
    train(model.requires_grad_(True), batch, steps=60, learning_rate=3e-3)
    model.save_pretrained(tmp_path)
    plain = perplexity(model, batch)
    eight, four = perplexity(quantised(tmp_path, bits=8), batch), perplexity(quantised(tmp_path), batch)
    assert plain < 2 < untrained
    assert eight < 1.02 * plain
    assert four < 1.2 * plain


def test_the_cpu_kernel_is_for_answers(tiny_llama: Path, tiny_bpe) -> None:
    """It rounds the scales of blocks to bfloat16: nearly the same logits, where this CPU has the kernel."""
    exact, fast = quantised(tiny_llama), quantised(tiny_llama, cpu_kernel=True)
    difference = (logits_of(exact, tiny_bpe) - logits_of(fast, tiny_bpe)).norm()
    assert difference < 0.02 * logits_of(exact, tiny_bpe).norm()
    layer = fast.get_submodule("model.layers.0.mlp.up_proj")
    assert bool(difference > 0) == bool(layer.support_avx512bf16_for_cpu)


@pytest.mark.parametrize(
    ("options", "key", "severity"),
    [
        ({}, None, None),
        ({"bits": 8, "quant_type": "fp4"}, "quantizer.bits", "warning"),
        ({"cpu_kernel": True}, "quantizer.cpu_kernel", "error"),
    ],
)
def test_check(options, key, severity) -> None:
    quantizer = Bitsandbytes(**options)
    problems = quantizer.check(StubPlan({"quantizer": {"bitsandbytes": quantizer}}))
    assert [(problem.key, problem.severity) for problem in problems] == ([(key, severity)] if key else [])


def test_ranges() -> None:
    _, problems = structured(Bitsandbytes, {"threshold": -1.0}, ("quantizer",), "quantizer=bitsandbytes")
    assert [str(problem.key) for problem in problems] == ["quantizer.threshold"]


def test_traits() -> None:
    """Of 8 bits no norms can be read: DoRA is refused there."""
    assert Bitsandbytes().traits.weight_norms and not Bitsandbytes(bits=8).traits.weight_norms
    assert not Bitsandbytes().traits.float_weights


def test_of_a_model_that_also_sees_the_named_parts_are_in_few_bits(tmp_path: Path) -> None:
    from bitsandbytes.nn import Linear4bit
    from transformers import AutoModelForImageTextToText
    from tunesmith_library_testing.seeing import save_seeing_model

    folder = save_seeing_model(tmp_path / "qwen2_vl", "qwen2_vl")
    whole = AutoModelForImageTextToText.from_pretrained(folder)
    linear = {name for name, module in whole.named_modules() if type(module) is torch.nn.Linear} - {"lm_head"}
    for towers, inside in (
        (["language"], ("model.language_model.",)),
        (["language", "projector"], ("model.language_model.", "model.visual.merger.")),
    ):
        quantizer = Bitsandbytes(towers=towers)
        config = quantizer.quantization_config(source_of(folder))
        loaded = AutoModelForImageTextToText.from_pretrained(folder, quantization_config=config)
        model = quantizer.quantize(loaded)
        packed = {name for name, module in model.named_modules() if isinstance(module, Linear4bit)}
        assert packed == {name for name in linear if name.startswith(inside)}, towers
    with pytest.raises(TunesmithError, match=r"quantizer\.towers=audio: this model has no such part"):
        Bitsandbytes(towers=["audio"]).quantize(loaded)
