"""HQQ: errors and sizes by bits, the formula, and that layers are trained over."""

import copy
from pathlib import Path

import pytest
import torch
from hqq.core.quantize import HQQLinear
from tunesmith import TunesmithError
from tunesmith.validate import structured
from tunesmith_library_testing import QuantizerSuite
from tunesmith_library_testing.parts import StubPlan, collate, examples, load_plain, logits_of, mean_loss, train
from tunesmith_library_testing.tiny import save_tiny_model
from tunesmith_quantizer_hqq import Hqq

ALL_BITS = (8, 4, 3, 2, 1)
LAYER = "model.layers.0.mlp.up_proj"


class TestHqq(QuantizerSuite):
    plugin = Hqq
    error_bounds = {8: 0.01, 4: 0.12, 3: 0.25, 2: 0.55, 1: 1.2}


class TestAcrossOutputs(QuantizerSuite):
    plugin = Hqq
    options = {"axis": 0, "group_size": 32}
    error_bounds = {8: 0.01, 4: 0.12, 3: 0.25, 2: 0.55, 1: 1.2}


def quantised(folder: Path, dtype: str = "float32", **options):
    return Hqq(**options).quantize(load_plain(folder, dtype))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("bits", ALL_BITS)
def test_a_weight_is_scale_times_whole_number(tiny_llama: Path, bits: int, axis: int) -> None:
    """w = s (q - z) with whole q of the range of the bits, computed here from scale and zero point alone."""
    layer = quantised(tiny_llama, bits=bits, axis=axis, group_size=32).get_submodule(LAYER)
    with torch.no_grad():
        weight = layer(torch.eye(layer.in_features)).T
    groups = weight.reshape(-1, 32) if axis == 1 else weight.reshape(32, -1)
    assert layer.meta["scale"].numel() == weight.numel() / 32
    q = groups / layer.meta["scale"] + layer.meta["zero"]
    torch.testing.assert_close(q, q.round(), atol=2e-3, rtol=0)
    assert q.min() > -1e-3 and q.max() < 2**bits - 1 + 1e-3
    assert q.round().unique().numel() == 2**bits


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("bits", "packed"), [(8, 8), (4, 4), (3, 3.2), (2, 2), (1, 1)])
def test_memory_is_what_the_bits_say(tiny_llama: Path, bits: int, packed: float, dtype: str) -> None:
    """Bytes held for a layer against bits + (scale + zero point) / group; ten 3-bit numbers lie in 32 bits."""
    layer = quantised(tiny_llama, dtype, bits=bits).get_submodule(LAYER)
    held = [layer.W_q, layer.meta["scale"], layer.meta["zero"]]
    per_weight = 8 * sum(t.numel() * t.element_size() for t in held) / (layer.in_features * layer.out_features)
    expected = packed + 2 * getattr(torch, dtype).itemsize * 8 / 64
    assert per_weight == pytest.approx(expected, rel=0.02)
    assert [name for name, _ in layer.named_parameters()] == ["W_q"], "another copy of the weight is held"


def test_biases_are_kept(tiny_bpe, tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "qwen2", architecture="qwen2", tie_word_embeddings=True)
    plain = load_plain(folder)
    for layer in plain.model.layers:
        torch.nn.init.normal_(layer.self_attn.q_proj.bias)
    model = Hqq(bits=8).quantize(copy.deepcopy(plain))
    assert model.lm_head.weight is model.model.embed_tokens.weight
    difference = (logits_of(model, tiny_bpe) - logits_of(plain, tiny_bpe)).abs().max()
    assert 0 < difference < 0.05 * logits_of(plain, tiny_bpe).abs().max()


def test_what_is_skipped_keeps_its_numbers(tiny_llama: Path) -> None:
    model = quantised(tiny_llama, skip_modules=["layers.0", "o_proj"])
    kept = {name for name, module in model.named_modules() if type(module) is torch.nn.Linear}
    first = {name for name, layer in load_plain(tiny_llama).named_modules() if type(layer) is torch.nn.Linear}
    first = {name for name in first if name.startswith("model.layers.0.")}
    assert kept == {"lm_head", "model.layers.1.self_attn.o_proj", *first}
    assert sum(isinstance(module, HQQLinear) for module in model.modules()) == 6
    with pytest.raises(TunesmithError, match=r"quantizer\.skip_modules=o_porj: fits no layer"):
        quantised(tiny_llama, skip_modules=["o_porj"])


def test_groups_that_do_not_come_out_even_are_refused(tiny_llama: Path) -> None:
    with pytest.raises(TunesmithError, match=r"(?s)group_size=96: the 64 × 64 weights of .*\.q_proj .*skip_modules"):
        quantised(tiny_llama, group_size=96)
    with pytest.raises(TunesmithError, match="do not come out even in 1 bits"):
        quantised(tiny_llama, group_size=1024, bits=1)  # 4 groups, where 8 share a byte


def test_a_quantised_model_is_refused(tiny_llama: Path) -> None:
    model = load_plain(tiny_llama)
    model.config.quantization_config = {"quant_method": "gptq"}
    with pytest.raises(TunesmithError, match="16-bit version"):
        Hqq().quantize(model)


@pytest.mark.parametrize("bits", ALL_BITS)
def test_quantising_is_deterministic(tiny_llama: Path, tiny_bpe, bits: int) -> None:
    """The base is quantised anew at every load, so that the adapter of a run finds what it was trained over."""
    first, second = (logits_of(quantised(tiny_llama, bits=bits), tiny_bpe) for _ in range(2))
    assert torch.equal(first, second)


def test_an_evaluation_changes_nothing(tiny_llama: Path, tiny_bpe) -> None:
    model = quantised(tiny_llama)
    batch = collate(examples(tiny_bpe))
    weight = model.model.layers[0].input_layernorm.weight.requires_grad_()
    (before,) = torch.autograd.grad(mean_loss(model.train(), batch), weight)
    logits_of(model, tiny_bpe)
    (after,) = torch.autograd.grad(mean_loss(model.train(), batch), weight)
    assert before.norm() > 0 and torch.equal(before, after)


def test_gradients_under_autocast(tiny_llama: Path, tiny_bpe) -> None:
    """In bfloat16 under autocast, as the trainer computes, gradients are those of the dequantised weights."""
    model, batch = quantised(tiny_llama, "bfloat16"), collate(examples(tiny_bpe))
    plain = load_plain(tiny_llama)
    for name, layer in model.named_modules():
        if isinstance(layer, HQQLinear):
            plain.get_submodule(name).weight.data = layer.dequantize().float()
    gradients = []
    for one in (model, plain):
        one.model.embed_tokens.weight.requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=one is model):
            loss = mean_loss(one, batch)
        (gradient,) = torch.autograd.grad(loss, one.model.embed_tokens.weight)
        gradients.append(gradient.float())
    ours, reference = gradients
    assert (ours - reference).norm() < 0.05 * reference.norm()


def test_a_trained_model_loses_more_with_fewer_bits(tiny_llama: Path, tiny_bpe) -> None:
    """Perplexity on chats that a model knows by heart, against the model in float32."""
    plain, batch = load_plain(tiny_llama).requires_grad_(True), collate(examples(tiny_bpe))
    train(plain, batch, steps=60, learning_rate=3e-3)
    plain.eval()

    def perplexity(model) -> float:
        with torch.no_grad():
            return mean_loss(model, batch).exp().item()

    by_bits = [perplexity(Hqq(bits=bits).quantize(copy.deepcopy(plain))) for bits in ALL_BITS]
    assert perplexity(plain) < 2
    assert by_bits[0] < 1.01 * perplexity(plain) and by_bits[1] < 1.2 * perplexity(plain)
    assert by_bits == sorted(by_bits)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({}, None),
        ({"group_size": 20}, "quantizer.group_size"),
    ],
)
def test_check(options, key) -> None:
    hqq = Hqq(**options)
    problems = hqq.check(StubPlan({"quantizer": {"hqq": hqq}}))
    assert [problem.key for problem in problems] == ([key] if key else [])


def test_ranges() -> None:
    _, problems = structured(Hqq, {"group_size": 0}, ("quantizer",), "quantizer=hqq")
    assert [str(problem.key) for problem in problems] == ["quantizer.group_size"]


def test_of_a_model_that_also_sees_the_named_parts_are_in_few_bits(tmp_path: Path) -> None:
    from transformers import AutoModelForImageTextToText
    from tunesmith_library_testing.seeing import save_seeing_model

    folder = save_seeing_model(tmp_path / "llava", "llava")
    for towers, inside in (
        (["language"], ("model.language_model.",)),
        (["tower", "projector"], ("model.vision_tower.", "model.multi_modal_projector.")),
    ):
        model = AutoModelForImageTextToText.from_pretrained(folder)
        linear = {name for name, module in model.named_modules() if type(module) is torch.nn.Linear} - {"lm_head"}
        model = Hqq(group_size=16, towers=towers).quantize(model)
        packed = {name for name, module in model.named_modules() if isinstance(module, HQQLinear)}
        assert packed == {name for name in linear if name.startswith(inside)}, towers
    assert [problem.key for problem in Hqq(towers=[]).check(StubPlan({}))] == ["quantizer.towers"]
