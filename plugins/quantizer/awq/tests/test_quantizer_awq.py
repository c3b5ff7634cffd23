"""AWQ: the searches, where scales go, that the stored model is the same function, and that it is trained over."""

import itertools
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from tunesmith import TunesmithError
from tunesmith.validate import structured
from tunesmith_library_quantizing.calibration import blocks
from tunesmith_library_quantizing.checkpoint import restore
from tunesmith_library_quantizing.folding import Finder
from tunesmith_library_quantizing.grid import round_to_nearest
from tunesmith_library_quantizing.linear import PackedLinear
from tunesmith_library_quantizing.search import find_scale, output_error, round_clipped
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
from tunesmith_library_testing.tiny import save_tiny_model
from tunesmith_quantizer_awq import Awq

ALL_BITS = (8, 4, 3, 2)
LAYER = "model.layers.0.mlp.up_proj"


class TestAwq(QuantizerSuite):
    plugin = Awq
    options = {"group_size": 32}
    error_bounds = {8: 0.01, 4: 0.12, 3: 0.25, 2: 0.55}


class TestWithoutClipping(QuantizerSuite):
    plugin = Awq
    options = {"group_size": 32, "clip": False}
    error_bounds = {8: 0.01, 4: 0.12, 3: 0.25, 2: 0.6}


@pytest.fixture
def quantise(tiny_bpe):
    """Quantise a folder's model on two chats; gives the plugin and the model."""

    def of(folder: Path, dtype: str = "float32", **options):
        awq = Awq(**{"group_size": 32, **options})
        batches = [collate([example]) for example in examples(tiny_bpe)]
        return awq, awq.quantize(load_plain(folder, dtype), lambda: iter(batches))

    return of


def stored(awq: Awq, folder: Path, tokenizer) -> Path:
    """The folder to which a run stores what it quantised."""
    next(awq.fit(SimpleNamespace(output_dir=folder, resume=False, processor=tokenizer)))
    return folder / "quantized"


def loaded(folder: Path, dtype: str = "float32"):
    """The stored model as vLLM would compute it: scales in the norms, packed layers without any."""
    from transformers import AutoConfig

    awq, config = Awq(), AutoConfig.from_pretrained(folder)
    del config.quantization_config  # as the model plugin does for `replaces_stored`
    told = awq.quantization_config(source_of(folder))
    return awq.quantize(load_plain(folder, dtype, config=config, quantization_config=told), None)


def activations(tokens: int, width: int) -> torch.Tensor:
    """Inputs of which a few channels are large, as those of language models."""
    generator = torch.Generator().manual_seed(1)
    spread = torch.logspace(0, 2, width)[torch.randperm(width, generator=generator)]
    return torch.randn(tokens, width, generator=generator) * spread


# ---- searches --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", ALL_BITS)
def test_the_scale_is_the_best_of_the_grid(bits: int) -> None:
    """Against the same search over real outputs instead of second moments, and against rounding to nearest."""
    inputs = activations(500, 64)
    weights = [torch.randn(32, 64, generator=torch.Generator().manual_seed(seed)) for seed in (2, 3)]
    hessian, magnitude = inputs.T @ inputs / len(inputs), inputs.abs().mean(0)

    def error(scale: torch.Tensor) -> float:
        found = 0.0
        for weight in weights:
            made = round_to_nearest(weight * scale, bits, 32, sym=False).packed_weight()
            found += ((inputs / scale) @ made.T - inputs @ weight.T).square().sum().item()
        return found

    scale = find_scale(weights, hessian, magnitude, bits, 32)
    tried = [magnitude ** (step / 20) for step in range(20)]
    assert error(scale) <= 1.02 * min(error(one / (one.max() * one.min()).sqrt()) for one in tried)
    assert error(scale) < 0.7 * error(torch.ones(64))
    assert torch.equal(scale, scale.bfloat16().float())


@pytest.mark.parametrize("bits", ALL_BITS)
def test_clipping_never_makes_an_output_worse(bits: int) -> None:
    inputs = activations(500, 64)
    weight = torch.randn(32, 64, generator=torch.Generator().manual_seed(4)) ** 3  # with outliers
    hessian = inputs.T @ inputs / len(inputs)
    clipped, nearest = round_clipped(weight, hessian, bits, 32), round_to_nearest(weight, bits, 32, sym=False)
    errors = [output_error(made.packed_weight() - weight, hessian) for made in (clipped, nearest)]
    real = ((clipped.packed_weight() - weight) @ inputs.T).square().mean(1)
    torch.testing.assert_close(errors[0], real, rtol=1e-3, atol=1e-5)
    assert bool((errors[0] <= errors[1]).all())
    if bits < 8:
        assert errors[0].sum() < 0.95 * errors[1].sum()


# ---- scales in a model -----------------------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize(
    ("architecture", "config", "expected"),
    [
        ("llama", {}, ["input_layernorm", None, "post_attention_layernorm", "mlp.up_proj"]),
        ("llama", {"num_key_value_heads": 4}, ["input_layernorm", "v_proj", "post_attention_layernorm", "mlp.up_proj"]),
        ("gemma2", {}, ["input_layernorm", None, "pre_feedforward_layernorm", "mlp.up_proj"]),
    ],
    ids=["grouped heads", "heads", "norms that add one"],
)
def test_where_scales_go(tmp_path: Path, tiny_bpe, architecture: str, config, expected) -> None:
    """Found by trying: before q k v, o, gate up, and down; nowhere before o when several heads share a value."""
    folder = save_tiny_model(tmp_path / "model", architecture=architecture, tokenizer=tiny_bpe, **config)
    model, batch = load_plain(folder), collate(examples(tiny_bpe)[:1])
    chosen = [name for name, layer in model.named_modules() if type(layer) is torch.nn.Linear]
    block = next(iter(blocks(model, [batch], chosen, 1, 64)))
    finder = Finder(block)
    places = [finder.find(linears) for linears in block.groups()]
    ends = [None if place is None else place.name.removeprefix("model.layers.0.") for place in places]
    assert all(a is b or a.endswith(b) for a, b in zip(ends, expected, strict=True)), ends
    offset = 1 if architecture == "gemma2" else 0
    assert [place.offset for place in places if place] == [offset, *([None] * ("v_proj" in expected)), offset, None]


@pytest.mark.parametrize("config", [{}, {"num_key_value_heads": 4}, {"attention_bias": True, "mlp_bias": True}])
@pytest.mark.parametrize("bits", [4, 3])
def test_the_stored_model_is_the_same_function(tmp_path: Path, tiny_bpe, quantise, bits: int, config: dict) -> None:
    """With the scales in the norms and rows, as vLLM loads it; and put back into the full model, to the last bit."""
    folder = save_tiny_model(tmp_path / "model", tokenizer=tiny_bpe, **config)
    awq, model = quantise(folder, bits=bits)
    there = stored(awq, tmp_path, tiny_bpe)
    expected = logits_of(model, tiny_bpe)
    torch.testing.assert_close(logits_of(loaded(there), tiny_bpe), expected, atol=1e-5, rtol=1e-4)
    again = load_plain(folder)
    restore(again, there)
    assert torch.equal(logits_of(again, tiny_bpe), expected)
    norms = [load_file(one / "model.safetensors")["model.layers.0.input_layernorm.weight"] for one in (folder, there)]
    assert not torch.equal(*norms)
    assert torch.equal(model.model.layers[0].input_layernorm.weight, norms[0]), "an adapter would see other inputs"


def test_four_bits_are_stored_as_awq(tiny_llama: Path, tmp_path: Path, tiny_bpe, quantise) -> None:
    """Read by the definition of the layout: half byte i of a word is column (0, 2, 4, 6, 1, 3, 5, 7)[i]."""
    awq, model = quantise(tiny_llama)
    tensors = load_file(stored(awq, tmp_path, tiny_bpe) / "model.safetensors")
    qweight, qzeros, scales = (tensors[f"{LAYER}.{name}"] for name in ("qweight", "qzeros", "scales"))
    assert qweight.shape == (64, 16) and qzeros.shape == (2, 16) and scales.shape == (2, 128)

    def number(words: torch.Tensor, row: int, column: int) -> int:
        place = (0, 2, 4, 6, 1, 3, 5, 7).index(column % 8)
        return int(words[row, column // 8]) >> (4 * place) & 15

    layer = model.get_submodule(LAYER)
    weight = layer.transposed(torch.float32)
    for row, column in itertools.product((0, 5, 33, 63), range(128)):
        code, zero = number(qweight, row, column), number(qzeros, row // 32, column)
        assert weight[row, column] == scales[row // 32, column].float() * (code - zero)


def test_outputs_err_less_than_with_rounding_to_nearest(tiny_llama: Path, tiny_bpe) -> None:
    """Cross entropy of a model on chats that it knows by heart, at 3 bits and below."""
    batch = collate(examples(tiny_bpe))
    plain = load_plain(tiny_llama).requires_grad_(True)
    train(plain, batch, steps=60, learning_rate=3e-3)
    state = plain.state_dict()
    for bits in (3, 2):
        ours, nearest = load_plain(tiny_llama), load_plain(tiny_llama)
        for model in (ours, nearest):
            model.load_state_dict(state)
        Awq(bits=bits, group_size=32).quantize(ours, lambda: iter([batch]))
        for name, layer in nearest.named_modules():
            if type(layer) is torch.nn.Linear and name != "lm_head":
                layer.weight.data = round_to_nearest(layer.weight.detach(), bits, 32, False).packed_weight()
        with torch.no_grad():
            losses = [mean_loss(model.eval(), batch).item() for model in (plain, ours, nearest)]
        assert losses[1] - losses[0] < 0.95 * (losses[2] - losses[0]), (bits, losses)


def test_layers_left_out_keep_the_others_right(tiny_llama: Path, tmp_path: Path, tiny_bpe, quantise) -> None:
    """Where one of several layers behind a norm is skipped, the norm takes no scale."""
    awq, model = quantise(tiny_llama, skip_modules=["k_proj", "up_proj"])
    layer = model.model.layers[0]
    assert type(layer.self_attn.k_proj) is torch.nn.Linear and isinstance(layer.self_attn.q_proj, PackedLinear)
    assert layer.self_attn.q_proj.input_scale is None and layer.mlp.gate_proj.input_scale is None
    assert layer.mlp.down_proj.input_scale is not None
    there = stored(awq, tmp_path, tiny_bpe)
    assert len(model.config.quantization_config["modules_to_not_convert"]) == 4
    torch.testing.assert_close(logits_of(loaded(there), tiny_bpe), logits_of(model, tiny_bpe), atol=1e-5, rtol=1e-4)


def test_in_bfloat16(tiny_llama: Path, tmp_path: Path, tiny_bpe, quantise) -> None:
    """A layer computes with the weight that it says; the stored norms are rounded, which is all that differs."""
    awq, model = quantise(tiny_llama, "bfloat16")
    layer = model.get_submodule(LAYER)
    x = torch.randn(3, 64, generator=torch.Generator().manual_seed(5)).bfloat16()
    expected = x.double() @ layer.weight.double().T
    assert (layer(x).double() - expected).norm() < 0.01 * expected.norm()
    there = logits_of(loaded(stored(awq, tmp_path, tiny_bpe), "bfloat16"), tiny_bpe)
    ours = logits_of(model, tiny_bpe)
    assert (there - ours).norm() < 0.03 * ours.norm()


def test_quantising_is_deterministic(tiny_llama: Path, tiny_bpe, quantise) -> None:
    first, second = (logits_of(quantise(tiny_llama)[1], tiny_bpe) for _ in range(2))
    assert torch.equal(first, second)


# ---- errors ----------------------------------------------------------------------------------------------------------


def test_an_adapter_is_not_put_over_scaled_norms(tiny_llama: Path, tmp_path: Path, tiny_bpe, quantise) -> None:
    """An adapter knows the inputs of the model as it was; model.path=RUN/quantized has others."""
    awq, _ = quantise(tiny_llama)
    folder = stored(awq, tmp_path, tiny_bpe)
    with pytest.raises(TunesmithError, match=r"(?s)scales in the norms.*without another model\.path"):
        next(Awq().apply_adapter(loaded(folder), tmp_path, source_of(folder, training=False)))


def test_without_data_nothing_is_computed(tiny_llama: Path, tiny_bpe) -> None:
    model = Awq(group_size=32).quantize(load_plain(tiny_llama), None)
    with pytest.raises(TunesmithError, match=r"(?s)quantizer=awq has no data.*RUN/quantized"):
        logits_of(model, tiny_bpe)


@pytest.mark.parametrize(
    ("options", "keys"),
    [({}, []), ({"group_size": 12}, ["quantizer.group_size"])],
)
def test_check(options, keys) -> None:
    awq = Awq(**options)
    assert [problem.key for problem in awq.check(StubPlan({"quantizer": {"awq": awq}}))] == keys


@pytest.mark.parametrize("values", [{"group_size": -2}, {"samples": 0}, {"sample_length": 0}])
def test_ranges(values) -> None:
    _, problems = structured(Awq, values, ("quantizer",), "quantizer=awq")
    assert [str(problem.key) for problem in problems] == [f"quantizer.{name}" for name in values]


@pytest.mark.gpu
def test_on_a_gpu(tiny_llama: Path, tmp_path: Path, tiny_bpe, quantise) -> None:
    """Calibrated there from a model on the CPU, and computed there in bfloat16 as on the CPU."""
    awq, model = quantise(tiny_llama, "bfloat16")
    expected = logits_of(model, tiny_bpe)
    folder = stored(awq, tmp_path, tiny_bpe)
    there = logits_of(model.cuda(), tiny_bpe)
    assert (there - expected).norm() < 0.05 * expected.norm()
    again = logits_of(loaded(folder, "bfloat16").cuda(), tiny_bpe)
    assert (again - expected).norm() < 0.05 * expected.norm()
