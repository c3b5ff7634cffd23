"""torchao: the numbers of a weight, their size, and that they are trained over."""

import copy
from pathlib import Path

import pytest
import torch
from tunesmith import TunesmithError
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
from tunesmith_quantizer_torchao import Torchao

TRAINED = ("int8_weight_only", "float8_weight_only")
SCHEMES = (*TRAINED, "int8_dynamic")
LAYER = "model.layers.0.mlp.up_proj"


class TestInt8(QuantizerSuite):
    plugin = Torchao
    error_bounds = {8: 0.01}
    bits_option = None


class TestFloat8(QuantizerSuite):
    plugin = Torchao
    bits_option = None
    options = {"scheme": "float8_weight_only"}
    error_bounds = {8: 0.03}


def quantised(folder: Path, dtype: str = "float32", **options):
    """The tiny model as the pipeline quantises it."""
    quantizer = Torchao(**options)
    config = quantizer.quantization_config(source_of(folder))
    return quantizer.quantize(load_plain(folder, dtype, quantization_config=config))


def weight_of(layer) -> torch.Tensor:
    """A layer's weight (out, in), read off its outputs."""
    with torch.no_grad():
        return layer(torch.eye(layer.in_features)).T


@pytest.mark.parametrize("scheme", TRAINED)
def test_a_weight_is_what_the_formula_says(tiny_llama: Path, scheme: str) -> None:
    weight = load_plain(tiny_llama).get_submodule(LAYER).weight.detach()
    largest = weight.abs().amax(1, keepdim=True)
    if scheme == "float8_weight_only":
        step = largest / 448
        expected = (weight / step).to(torch.float8_e4m3fn).float() * step
    else:
        step = largest / 127
        expected = (weight / step).round() * step
    found = weight_of(quantised(tiny_llama, scheme=scheme).get_submodule(LAYER))
    # a weight in the middle between two steps may fall to either side; torchao's int8 step is 127.5th of the largest
    assert (found - weight).norm().item() == pytest.approx((expected - weight).norm().item(), rel=0.02)
    assert (found - expected).abs().max() <= 1.01 * 2 * (expected - weight).abs().max()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_memory_is_what_the_bits_say(tiny_llama: Path, scheme: str) -> None:
    """Bytes held for a layer against 8 bits per weight a scale (32 bits) per row of 64; int8 may have a zero point."""
    layer = quantised(tiny_llama, scheme=scheme).get_submodule(LAYER)
    tensors = [getattr(layer.weight, name, None) for name in ("qdata", "scale", "zero_point")]
    held = sum(tensor.numel() * tensor.element_size() for tensor in tensors if tensor is not None)
    assert 8 * held / (layer.in_features * layer.out_features) == pytest.approx(8 + 32 / 64, abs=8 / 64 + 1e-6)


@pytest.mark.parametrize(
    ("skip", "kept"),
    [
        ([], []),
        (["o_proj"], ["layers.0.self_attn.o_proj", "layers.1.self_attn.o_proj"]),
        (["layers.0.*.up_*"], ["layers.0.mlp.up_proj"]),
    ],
)
def test_the_output_head_and_what_is_skipped_keep_their_numbers(tiny_llama: Path, skip, kept) -> None:
    model = quantised(tiny_llama, skip_modules=skip)
    linear = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    plain = {name for name, module in linear.items() if type(module.weight.data) is torch.Tensor}
    assert plain == {"lm_head", *(f"model.{name}" for name in kept)}


def test_a_layer_that_is_not_there_cannot_be_skipped(tiny_llama: Path) -> None:
    with pytest.raises(TunesmithError, match=r"(?s)quantizer\.skip_modules=o_porj: fits no layer.*did you mean"):
        quantised(tiny_llama, skip_modules=["o_porj"])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_quantising_is_deterministic(tiny_llama: Path, tiny_bpe, scheme: str) -> None:
    """The base is quantised anew at every load, so that the adapter of a run finds what it was trained over."""
    first, second = (logits_of(quantised(tiny_llama, scheme=scheme), tiny_bpe) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("scheme", TRAINED)
def test_an_evaluation_changes_nothing(tiny_llama: Path, tiny_bpe, scheme: str) -> None:
    model, batch = quantised(tiny_llama, scheme=scheme), collate(examples(tiny_bpe))
    weight = model.model.layers[0].input_layernorm.weight.requires_grad_()
    (before,) = torch.autograd.grad(mean_loss(model.train(), batch), weight)
    logits_of(model, tiny_bpe)
    (after,) = torch.autograd.grad(mean_loss(model.train(), batch), weight)
    assert before.norm() > 0 and torch.equal(before, after)


@pytest.mark.parametrize("scheme", TRAINED)
def test_gradients_under_autocast(tiny_llama: Path, tiny_bpe, scheme: str) -> None:
    """In bfloat16 under autocast, as the trainer computes, gradients are those of the dequantised weights."""
    model, batch = quantised(tiny_llama, "bfloat16", scheme=scheme), collate(examples(tiny_bpe))
    plain = load_plain(tiny_llama)
    for name, layer in model.named_modules():
        if isinstance(layer, torch.nn.Linear) and name != "lm_head":
            plain.get_submodule(name).weight.data = layer.weight.dequantize().float()
    gradients = []
    for one in (model, plain):
        one.model.embed_tokens.weight.requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=one is model):
            loss = mean_loss(one, batch)
        (gradient,) = torch.autograd.grad(loss, one.model.embed_tokens.weight)
        gradients.append(gradient.float())
    ours, reference = gradients
    assert (ours - reference).norm() < 0.05 * reference.norm()


def test_a_trained_model_keeps_its_perplexity(tiny_llama: Path, tiny_bpe, tmp_path: Path) -> None:
    """On chats that a model knows by heart, 8 bits lose next to nothing."""
    plain, batch = load_plain(tiny_llama).requires_grad_(True), collate(examples(tiny_bpe))
    untrained = copy.deepcopy(plain)
    train(plain, batch, steps=60, learning_rate=3e-3)
    plain.save_pretrained(tmp_path)

    def perplexity(model) -> float:
        with torch.no_grad():
            return mean_loss(model.eval(), batch).exp().item()

    assert perplexity(plain) < 2 < perplexity(untrained)
    for scheme in SCHEMES:
        assert perplexity(quantised(tmp_path, scheme=scheme)) < 1.03 * perplexity(plain)


def test_dynamic_int8_has_the_weights_of_int8(tiny_llama: Path, tiny_bpe) -> None:
    """What was trained over int8_weight_only is served by int8_dynamic: the inputs alone are rounded more."""
    one, other = quantised(tiny_llama), quantised(tiny_llama, scheme="int8_dynamic")
    weights = [model.get_submodule(LAYER).weight for model in (one, other)]
    assert torch.equal(weights[0].qdata, weights[1].qdata) and torch.equal(weights[0].scale, weights[1].scale)
    difference = (logits_of(one, tiny_bpe) - logits_of(other, tiny_bpe)).norm()
    assert 0 < difference < 0.03 * logits_of(one, tiny_bpe).norm()


def test_dynamic_int8_passes_no_gradient(tiny_llama: Path) -> None:
    """Why `check` refuses to train over it; when this fails, torchao has learned to."""
    layer = quantised(tiny_llama, scheme="int8_dynamic").get_submodule(LAYER)
    assert not layer(torch.ones(1, layer.in_features, requires_grad=True)).requires_grad


@pytest.mark.parametrize("command", ["train", "chat"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_check(scheme: str, command: str) -> None:
    quantizer = Torchao(scheme=scheme)
    problems = quantizer.check(StubPlan({"quantizer": {"torchao": quantizer}}, command))
    refused = scheme == "int8_dynamic" and command == "train"
    assert [problem.key for problem in problems] == (["quantizer.scheme"] if refused else [])


@pytest.mark.parametrize("scheme", ["int8_weight_only", "intx_weight_only"])
def test_of_a_model_that_also_sees_the_language_model_is_in_few_bits(tmp_path: Path, scheme: str) -> None:
    from transformers import AutoModelForImageTextToText
    from tunesmith_library_testing.seeing import save_seeing_model

    folder = save_seeing_model(tmp_path / "llava", "llava")
    quantizer = Torchao(scheme=scheme, group_size=16)
    config = quantizer.quantization_config(source_of(folder))
    model = quantizer.quantize(AutoModelForImageTextToText.from_pretrained(folder, quantization_config=config))
    linear = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    packed = {name for name, module in linear.items() if type(module.weight.data) is not torch.Tensor}
    assert packed == {name for name in linear if name.startswith("model.language_model.")}
