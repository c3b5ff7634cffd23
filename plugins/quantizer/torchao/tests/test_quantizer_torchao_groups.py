"""torchao with groups: the numbers of a weight, where int4 needs hardware, and training for the rounding (QAT)."""

from pathlib import Path

import pytest
import torch
from tunesmith import TunesmithError
from tunesmith.traits import traits_of
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
from tunesmith_quantizer_torchao import Torchao

GROUPS = ("intx_weight_only", "int8_dynamic_intx")
LAYER = "model.layers.0.mlp.up_proj"


class TestIntx(QuantizerSuite):
    plugin = Torchao
    options = {"scheme": "intx_weight_only"}
    error_bounds = {8: 0.01, 6: 0.03, 4: 0.15, 3: 0.35, 2: 0.65}


def quantised(folder: Path, dtype: str = "float32", training: bool = False, **options):
    """The tiny model as the pipeline quantises it."""
    quantizer = Torchao(**options)
    config = quantizer.quantization_config(source_of(folder, training=training))
    return quantizer.quantize(load_plain(folder, dtype, quantization_config=config))


def rounded(weight: torch.Tensor, bits: int, group_size: int) -> torch.Tensor:
    """A weight (out, in) by the formula, in float64: symmetric, the scale from the group's extremes."""
    groups = weight.double().unflatten(1, (-1, group_size))
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    extremes = torch.maximum(groups.amin(-1, keepdim=True) / low, groups.amax(-1, keepdim=True) / high)
    return ((groups / extremes).round().clamp(low, high) * extremes).flatten(1)


@pytest.mark.parametrize(("bits", "group_size"), [(4, 32), (3, 16), (2, 8), (8, 64)])
def test_a_weight_is_what_the_formula_says(tiny_llama: Path, bits: int, group_size: int) -> None:
    weight = load_plain(tiny_llama).get_submodule(LAYER).weight.detach()
    options = {"scheme": "intx_weight_only", "bits": bits, "group_size": group_size}
    layer = quantised(tiny_llama, **options).get_submodule(LAYER)
    with torch.no_grad():
        found = layer(torch.eye(layer.in_features)).T
    expected = rounded(weight, bits, group_size)
    error, reference = (found - weight).double().norm(), (expected - weight).norm()
    # torchao spreads the range over 2^b - 1 steps of either sign, so that single weights may fall to the other side
    assert error.item() == pytest.approx(reference.item(), rel=0.12)
    groups = (found / weight.abs().amax()).unflatten(1, (-1, group_size))
    assert max(len(torch.unique(group.round(decimals=5))) for group in groups.flatten(0, 1)) <= 2**bits


@pytest.mark.parametrize("scheme", GROUPS)
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_training_sees_what_will_be_loaded(tiny_llama: Path, tiny_bpe, scheme: str, bits: int) -> None:
    """The layers that round whole weights in training compute what the stored few bits compute, to the last digit."""
    options = {"scheme": scheme, "bits": bits}
    trained_for = quantised(tiny_llama, training=True, qat=True, **options)
    assert trained_for.get_submodule(LAYER).weight.dtype == torch.float32
    loaded = quantised(tiny_llama, qat=True, **options)
    assert type(loaded.get_submodule(LAYER).weight.data) is not torch.Tensor
    torch.testing.assert_close(logits_of(trained_for, tiny_bpe), logits_of(loaded, tiny_bpe), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("scheme", GROUPS)
def test_the_gradient_goes_straight_through(tiny_llama: Path, scheme: str) -> None:
    """dL/dx is through the rounded weight, dL/dW is that of the rounded weight, wherever nothing is clamped."""
    layer = quantised(tiny_llama, training=True, scheme=scheme, qat=True).get_submodule(LAYER)
    whole = layer.weight.detach().clone()
    torch.manual_seed(0)
    x = torch.randn(5, layer.in_features, requires_grad=True)
    layer.weight.requires_grad_(True)
    factor = torch.randn(5, layer.out_features)
    (layer(x) * factor).sum().backward()
    stored = quantised(tiny_llama, scheme="intx_weight_only").get_submodule(LAYER)
    with torch.no_grad():
        weight = stored(torch.eye(layer.in_features)).T
    assert x.grad is not None
    clamped = x.grad == 0  # torch 2.15 takes the largest of a token's inputs for clamped
    assert clamped.float().mean() < 0.05
    torch.testing.assert_close(x.grad[~clamped], (factor @ weight)[~clamped], atol=1e-4, rtol=1e-3)
    expected = factor.T @ x.detach()
    tolerance = 0.02 if scheme == "int8_dynamic_intx" else 1e-5  # its inputs are rounded to 8 bits
    unclamped = layer.weight.grad != 0
    assert unclamped.float().mean() > 0.9
    difference = (layer.weight.grad - expected)[unclamped].norm() / expected.norm()
    assert difference < tolerance
    assert torch.equal(whole, layer.weight.detach())


@pytest.fixture(scope="module")
def fluent(tmp_path_factory, tiny_llama, tiny_bpe) -> Path:
    """A tiny model that knows some chats by heart."""
    model = load_plain(tiny_llama).requires_grad_(True)
    train(model, collate(examples(tiny_bpe)), steps=60, learning_rate=3e-3)
    folder = tmp_path_factory.mktemp("fluent")
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("scheme", GROUPS)
def test_training_for_the_rounding_beats_rounding_afterwards(
    fluent: Path, tiny_bpe, tmp_path: Path, scheme: str
) -> None:
    """As many steps on the same data, without and with the rounding: stored in 2 bits, the second model is better."""
    batch, options, losses = collate(examples(tiny_bpe)), {"scheme": scheme, "bits": 2, "group_size": 64}, {}
    for qat in (False, True):
        model = load_plain(fluent)
        if qat:
            model = quantised(fluent, training=True, qat=True, **options)
        train(model.requires_grad_(True).train(), batch, steps=30, learning_rate=1e-3)
        model.save_pretrained(tmp_path / str(qat))
        with torch.no_grad():
            losses[qat] = mean_loss(quantised(tmp_path / str(qat), qat=qat, **options), batch).item()
    assert losses[True] < 0.5 * losses[False], losses


@pytest.mark.parametrize("scheme", GROUPS)
def test_what_is_saved_is_a_plain_model(fluent: Path, tiny_bpe, tmp_path: Path, scheme: str) -> None:
    """Whole weights under the names of the base, which transformers loads without torchao."""
    model = quantised(fluent, training=True, scheme=scheme, qat=True)
    train(model.requires_grad_(True).train(), collate(examples(tiny_bpe)), steps=2, learning_rate=1e-3)
    model.save_pretrained(tmp_path)
    plain = load_plain(tmp_path)
    assert getattr(plain.config, "quantization_config", None) is None
    for name, weight in model.state_dict().items():
        assert torch.equal(plain.state_dict()[name], weight), name
    loaded = quantised(tmp_path, scheme=scheme, qat=True)
    torch.testing.assert_close(logits_of(loaded, tiny_bpe), logits_of(model, tiny_bpe), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("scheme", GROUPS)
def test_lora_beside_rounded_weights(fluent: Path, tiny_bpe, tmp_path: Path, scheme: str) -> None:
    """Trained with qat, saved, and loaded over the stored bits: the same logits."""
    import peft

    base = quantised(fluent, training=True, scheme=scheme, qat=True, bits=2)
    model = peft.get_peft_model(base, peft.LoraConfig(r=8, target_modules="all-linear"))
    chat = ({"role": "user", "content": "Who sings?"}, {"role": "assistant", "content": "The whales, 你好."})
    losses = train(model, collate(examples(tiny_bpe, [chat])), steps=24)
    assert losses[-1] < 0.5 * losses[0]
    model.save_pretrained(tmp_path)
    loaded = peft.PeftModel.from_pretrained(quantised(fluent, scheme=scheme, qat=True, bits=2), tmp_path)
    torch.testing.assert_close(logits_of(loaded, tiny_bpe), logits_of(model, tiny_bpe), atol=1e-4, rtol=1e-4)


def test_memory_of_intx_is_a_byte(tiny_llama: Path) -> None:
    """torchao's layout for whole numbers of any width holds each in a byte, and scale and zero point per group."""
    layer = quantised(tiny_llama, scheme="intx_weight_only", bits=2).get_submodule(LAYER)
    tensors = [getattr(layer.weight, name) for name in ("qdata", "scale", "zero_point")]
    held = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    assert 8 * held / layer.weight.numel() == 8 + (32 + 8) / 32


def test_what_is_skipped_stays_and_groups_must_fill_a_row(tiny_llama: Path) -> None:
    for training in (False, True):
        options = {"scheme": "intx_weight_only", "qat": True, "training": training}
        model = quantised(tiny_llama, skip_modules=["o_proj"], **options)
        plain = load_plain(tiny_llama)
        unit = torch.eye(model.config.hidden_size)
        for name, kept in (("self_attn.o_proj", True), ("self_attn.k_proj", False)):
            one, other = (part.model.layers[1].get_submodule(name)(unit) for part in (model, plain))
            assert torch.equal(one, other) is kept
        with pytest.raises(TunesmithError, match=r"(?s)group_size=48: .* has 64 inputs.*group_size=64"):
            quantised(tiny_llama, group_size=48, **options)


def test_int4_without_its_hardware_is_refused_before_loading(tiny_llama: Path, monkeypatch) -> None:
    quantizer = Torchao(scheme="int4_weight_only")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TunesmithError, match=r"(?s)needs a CUDA GPU.*found: no CUDA GPU.*quantizer=hqq"):
        quantizer.quantization_config(source_of(tiny_llama, precision="bf16", training=False))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Old")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    with pytest.raises(TunesmithError, match=r"found: Old, compute capability 7\.5"):
        quantizer.quantization_config(source_of(tiny_llama, precision="bf16", training=False))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 0))
    with pytest.raises(TunesmithError, match=r"(?s)computes in bf16; this run computes in fp32.*precision=bf16"):
        quantizer.quantization_config(source_of(tiny_llama, precision="fp32", training=False))
    assert quantizer.quantization_config(source_of(tiny_llama, precision="bf16", training=False)) is None


@pytest.mark.gpu
def test_int4_on_a_gpu(tiny_llama: Path, tiny_bpe) -> None:
    """The kernel's numbers against 4 bits of the same groups, on a CUDA machine."""
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    quantizer = Torchao(scheme="int4_weight_only")
    quantizer.quantization_config(source_of(tiny_llama, precision="bf16", training=False))
    model = quantizer.quantize(load_plain(tiny_llama, "bfloat16", device_map="cuda"))
    plain = load_plain(tiny_llama)
    layer, weight = model.get_submodule(LAYER), plain.get_submodule(LAYER).weight
    with torch.no_grad():
        found = layer(torch.eye(layer.in_features, dtype=torch.bfloat16, device="cuda")).T.float().cpu()
    assert 0 < (found - weight).norm() < 0.15 * weight.norm()
    expected = logits_of(plain, tiny_bpe)
    assert (logits_of(model, tiny_bpe) - expected).norm() < 0.3 * expected.norm()


@pytest.mark.parametrize(
    ("options", "values", "key"),
    [
        ({"scheme": "int8_dynamic_intx"}, {}, "quantizer.scheme"),
        ({"scheme": "int4_weight_only"}, {}, "quantizer.scheme"),
        ({"scheme": "int4_weight_only", "qat": True}, {}, "quantizer.qat"),
        ({"qat": True}, {}, "quantizer.qat"),
        ({"bits": 2}, {}, "quantizer.bits"),
        ({"scheme": "intx_weight_only"}, {}, None),
        ({"scheme": "int8_dynamic_intx", "qat": True}, {}, None),
        ({"scheme": "intx_weight_only", "bits": 2}, {}, None),
    ],
)
def test_check(options, values, key) -> None:
    quantizer = Torchao(**options)
    problems = quantizer.check(StubPlan({"quantizer": {"torchao": quantizer}}, "train", values))
    assert [problem.key for problem in problems] == ([key] if key else [])


@pytest.mark.parametrize(
    ("options", "values", "key"),
    [
        ({}, {}, None),
        ({"group_size": 48}, {}, "quantizer.group_size"),
        ({}, {"precision": "fp32"}, "precision"),
    ],
)
def test_check_of_int4_for_chat(options, values, key) -> None:
    quantizer = Torchao(scheme="int4_weight_only", **options)
    problems = quantizer.check(StubPlan({"quantizer": {"torchao": quantizer}}, "chat", values))
    assert [problem.key for problem in problems] == ([key] if key else [])


def test_whole_weights_are_held_in_training_for_the_rounding() -> None:
    """What lets adapters that train the base's own weights through."""
    assert Torchao(qat=True, scheme="intx_weight_only").traits.trains_base
    assert not Torchao().traits.trains_base and traits_of("quantizer", Torchao) == Torchao().traits


def test_norms_are_read_where_they_are_those_that_are_served() -> None:
    """DoRA would measure whole weights in training and rounded ones later."""
    assert Torchao(scheme="intx_weight_only").traits.weight_norms
    assert not Torchao(scheme="intx_weight_only", qat=True).traits.weight_norms


def test_ranges() -> None:
    _, problems = structured(Torchao, {"group_size": 0}, ("quantizer",), "quantizer=torchao")
    assert [str(problem.key) for problem in problems] == ["quantizer.group_size"]
