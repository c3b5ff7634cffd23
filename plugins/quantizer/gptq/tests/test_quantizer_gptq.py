"""GPTQ: against its definition in float64, against rounding to nearest, packed, stored, loaded, trained over."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from tunesmith import TunesmithError
from tunesmith.validate import structured
from tunesmith_library_quantizing.checkpoint import restore
from tunesmith_library_quantizing.grid import round_to_nearest
from tunesmith_library_quantizing.linear import PackedLinear
from tunesmith_library_quantizing.solver import solve
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
from tunesmith_quantizer_gptq import Gptq

ALL_BITS = (8, 4, 3, 2)
LAYER = "model.layers.0.mlp.up_proj"


class TestGptq(QuantizerSuite):
    plugin = Gptq
    options = {"group_size": 32}
    error_bounds = {8: 0.012, 4: 0.2, 3: 0.42, 2: 0.9}  # of the weight: it is the output whose error GPTQ makes small


class TestActivationOrder(QuantizerSuite):
    plugin = Gptq
    options = {"group_size": 32, "desc_act": True, "sym": False}
    error_bounds = {8: 0.012, 4: 0.18, 3: 0.38, 2: 0.85}


@pytest.fixture
def quantise(tiny_bpe):
    """Quantise a folder's model on two chats; gives the plugin and the model."""

    def of(folder: Path, dtype: str = "float32", **options):
        gptq = Gptq(**{"group_size": 32, **options})
        batches = [collate([example]) for example in examples(tiny_bpe)]
        return gptq, gptq.quantize(load_plain(folder, dtype), lambda: iter(batches))

    return of


def stored(gptq: Gptq, folder: Path, tokenizer) -> Path:
    """The folder to which a run stores what it quantised."""
    job = SimpleNamespace(output_dir=folder, resume=False, processor=tokenizer)
    running = gptq.fit(job)
    next(running)
    return folder / "quantized"


def activations(tokens: int, width: int) -> torch.Tensor:
    """Correlated inputs with a few large channels, as those of language models; float64."""
    generator = torch.Generator().manual_seed(1)
    mixing = torch.randn(width, width, generator=generator, dtype=torch.float64) / width**0.5
    spread = torch.logspace(0, 0.5, width, dtype=torch.float64)[torch.randperm(width, generator=generator)]
    return torch.randn(tokens, width, generator=generator, dtype=torch.float64) @ mixing * spread


def weights(out: int, width: int) -> torch.Tensor:
    return torch.randn(out, width, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


# ---- numbers ---------------------------------------------------------------------------------------------------------


def plain_gptq(weight: torch.Tensor, hessian: torch.Tensor, bits: int, group_size: int, damping: float) -> torch.Tensor:
    """By definition: round a column, let the inverse Hessian of those left say how they make up for it."""
    weight, result = weight.clone(), torch.zeros_like(weight)
    hessian = hessian + damping * hessian.diagonal().mean() * torch.eye(len(hessian), dtype=hessian.dtype)
    for i in range(weight.shape[1]):
        if i % group_size == 0:
            group = weight[:, i : i + group_size]
            scale = (2 * group.abs().amax(1) / (2**bits - 1)).half().double()
        result[:, i] = scale * (weight[:, i] / scale).round().clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        inverse = torch.linalg.inv(hessian[i:, i:])
        weight[:, i:] -= torch.outer(weight[:, i] - result[:, i], inverse[0] / inverse[0, 0])
    return result


@pytest.mark.parametrize("width", [96, 160])  # of one block of columns, and of two
@pytest.mark.parametrize("bits", [3, 4])
def test_the_solver_is_the_algorithm(bits: int, width: int) -> None:
    """In float64, against greedy rounding with the inverse of every remaining Hessian, without Cholesky factors."""
    inputs, weight = activations(400, width), weights(8, width)
    hessian = inputs.T @ inputs / len(inputs)
    found = solve(weight, hessian, bits=bits, group_size=32, sym=True, desc_act=False, damping=0.01)
    expected = plain_gptq(weight, hessian, bits, 32, 0.01)
    torch.testing.assert_close(found.packed_weight().double(), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("sym", "desc_act"), [(True, False), (False, False), (False, True)])
@pytest.mark.parametrize("bits", ALL_BITS)
def test_outputs_err_less_than_with_rounding_to_nearest(bits: int, sym: bool, desc_act: bool) -> None:
    """On inputs that were not calibrated on."""
    inputs, weight = activations(2000, 128), weights(64, 128).float()
    seen, unseen = inputs[:1000].float(), inputs[1000:].float()
    options = {"bits": bits, "group_size": 64, "sym": sym}
    found = solve(weight, seen.T @ seen / 1000, **options, desc_act=desc_act, damping=0.01).packed_weight()
    nearest = round_to_nearest(weight, **options).packed_weight()
    error, error_of_nearest = ((unseen @ (made - weight).T).norm() for made in (found, nearest))
    assert error < (0.8 if desc_act else 0.95) * error_of_nearest


def test_activations_that_are_not_finite_are_refused() -> None:
    with pytest.raises(TunesmithError, match="not finite"):
        solve(torch.ones(2, 32), torch.full((32, 32), torch.nan), **solver_options())


def test_inputs_that_are_always_zero() -> None:
    """Their weights are rounded like any others: new data may need them."""
    inputs = activations(100, 64).float()
    inputs[:, 5] = 0
    weight = weights(4, 64).float()
    made = solve(weight, inputs.T @ inputs, **solver_options()).packed_weight()
    step = 2 * weight.abs().amax() / 15
    assert bool(((made - weight)[:, 5].abs() < step).all())


def solver_options() -> dict:
    return {"bits": 4, "group_size": 32, "sym": True, "desc_act": False, "damping": 0.01}


# ---- layers ----------------------------------------------------------------------------------------------------------


def test_the_graph_keeps_no_weight(tiny_llama: Path, quantise) -> None:
    """A backward pass holds packed weights only: nothing as large as a weight is saved for it."""
    _, model = quantise(tiny_llama)
    layer, saved = model.get_submodule(LAYER), []
    x = torch.randn(3, layer.in_features, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: saved.append(tensor) or tensor, lambda tensor: tensor):
        layer(x).sum().backward()
    assert all(tensor.numel() <= x.numel() for tensor in saved)


@pytest.mark.parametrize("bits", ALL_BITS)
def test_memory_is_what_the_bits_say(tiny_llama: Path, quantise, bits: int) -> None:
    """Bytes of a layer against bits + (16 bits of scale + zero point) / group + 32 bits of group per input."""
    layer = quantise(tiny_llama, bits=bits)[1].get_submodule(LAYER)
    held = 8 * sum(tensor.numel() * tensor.element_size() for tensor in layer.parameters())
    expected = bits + (16 + bits) / 32 + 32 / layer.out_features
    assert held / (layer.in_features * layer.out_features) == pytest.approx(expected)


def test_under_autocast(tiny_llama: Path, tiny_bpe, quantise) -> None:
    """In bfloat16 under autocast, as the trainer computes, gradients are those of the dequantised weights."""
    _, model = quantise(tiny_llama, "bfloat16")
    plain, gradients = load_plain(tiny_llama), []
    batch = collate(examples(tiny_bpe))
    for name, layer in model.named_modules():
        if isinstance(layer, PackedLinear):
            assert layer.weight.dtype == torch.bfloat16
            plain.get_submodule(name).weight.data = layer.weight.float()
    for one in (model, plain):
        one.model.embed_tokens.weight.requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=one is model):
            loss = mean_loss(one, batch)
        gradients.append(torch.autograd.grad(loss, one.model.embed_tokens.weight)[0].float())
    assert (gradients[0] - gradients[1]).norm() < 0.05 * gradients[1].norm()


# ---- calibration -----------------------------------------------------------------------------------------------------


def test_patched_layers_stay_patched(tiny_llama: Path, tiny_bpe) -> None:
    """Also when a patch has given a decoder layer another forward of its own, which is what is calibrated."""
    model, ran = load_plain(tiny_llama), []
    layer = model.model.layers[1]
    original = layer.forward

    def patched(*args, **kwargs):
        ran.append(len(args))
        return original(*args, **kwargs)

    layer.forward = patched
    Gptq(group_size=32).quantize(model, lambda: iter([collate(examples(tiny_bpe))]))
    assert ran and layer.forward is patched and "forward" not in vars(model.model.layers[0])


@pytest.mark.parametrize("architecture", ["qwen2", "gemma2"])
def test_other_architectures(tmp_path: Path, tiny_bpe, quantise, architecture: str) -> None:
    """Biases, norms that add one, masks that differ from layer to layer."""
    folder = save_tiny_model(tmp_path / "model", architecture=architecture, tokenizer=tiny_bpe)
    _, model = quantise(folder, bits=8)
    plain = logits_of(load_plain(folder), tiny_bpe)
    difference = (logits_of(model, tiny_bpe) - plain).norm() / plain.norm()
    assert 0 < difference < 0.02


def test_what_is_skipped_keeps_its_numbers(tiny_llama: Path, quantise) -> None:
    gptq, model = quantise(tiny_llama, skip_modules=["layers.0", "o_proj"])
    kept = {name for name, module in model.named_modules() if type(module) is torch.nn.Linear}
    first = {name for name, layer in load_plain(tiny_llama).named_modules() if type(layer) is torch.nn.Linear}
    first = {name for name in first if name.startswith("model.layers.0.")}
    assert kept == {"lm_head", "model.layers.1.self_attn.o_proj", *first}
    assert len(gptq._quantised.config["dynamic"]) == len(kept) - 1
    with pytest.raises(TunesmithError, match=r"quantizer\.skip_modules=o_porj: fits no layer"):
        quantise(tiny_llama, skip_modules=["o_porj"])


def test_quantising_is_deterministic(tiny_llama: Path, tiny_bpe, quantise) -> None:
    first, second = (logits_of(quantise(tiny_llama)[1], tiny_bpe) for _ in range(2))
    assert torch.equal(first, second)


def test_a_trained_model_loses_less_than_by_rounding_to_nearest(tiny_llama: Path, tiny_bpe) -> None:
    """Cross entropy on chats that a model knows by heart, at 3 bits and below."""
    batch = collate(examples(tiny_bpe))
    plain = load_plain(tiny_llama).requires_grad_(True)
    train(plain, batch, steps=60, learning_rate=3e-3)
    state = plain.state_dict()
    for bits in (3, 2):
        gptq = Gptq(bits=bits, group_size=32, sym=False)
        ours, nearest = load_plain(tiny_llama), load_plain(tiny_llama)
        for model in (ours, nearest):
            model.load_state_dict(state)
        gptq.quantize(ours, lambda: iter([batch]))
        for name, layer in nearest.named_modules():
            if type(layer) is torch.nn.Linear and name != "lm_head":
                layer.weight.data = round_to_nearest(layer.weight.detach(), bits, 32, False).packed_weight()
        with torch.no_grad():
            losses = [mean_loss(model.eval(), batch).item() for model in (plain, ours, nearest)]
        assert losses[1] - losses[0] < 0.8 * (losses[2] - losses[0]), (bits, losses)


# ---- stored ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bits": 3, "sym": False, "desc_act": True},
        {"bits": 8, "group_size": -1},
        {"bits": 2, "skip_modules": ["o_proj"]},
    ],
    ids=["4", "3 in order", "8 by rows", "2 in part"],
)
def test_what_is_stored_is_the_model(tiny_llama: Path, tmp_path: Path, tiny_bpe, quantise, options) -> None:
    """Read by its definition with numpy's shifts, and put back into the full model, to the same logits."""
    gptq, model = quantise(tiny_llama, **options)
    layer = model.get_submodule(LAYER)
    folder = stored(gptq, tmp_path, tiny_bpe)
    tensors = load_file(folder / "model.safetensors")
    bits = gptq.bits
    columns = {name: tensors[f"{LAYER}.{name}"].numpy() for name in ("qweight", "qzeros", "scales", "g_idx")}

    def numbers(words) -> torch.Tensor:
        streams = (sum((int(word) & 0xFFFFFFFF) << (32 * i) for i, word in enumerate(column)) for column in words.T)
        count = 32 * len(words) // bits
        return torch.tensor([[stream >> (bits * i) & (2**bits - 1) for i in range(count)] for stream in streams]).T

    zeros = numbers(columns["qzeros"].T).T + gptq.sym  # the first format, for symmetric weights, lessens them by one
    index = columns["g_idx"]
    scales = torch.from_numpy(columns["scales"]).float()
    weight = (scales[index] * (numbers(columns["qweight"]) - zeros[index])).T
    torch.testing.assert_close(layer.weight, weight, atol=0, rtol=0)
    again = load_plain(tiny_llama)
    restore(again, folder)
    assert torch.equal(logits_of(again, tiny_bpe), logits_of(model, tiny_bpe))


def loaded(folder: Path, dtype: str = "float32"):
    """A stored model, by transformers with what the quantizer tells it instead of the model's own words."""
    from transformers import AutoConfig

    gptq = Gptq()
    config = AutoConfig.from_pretrained(folder)
    del config.quantization_config  # as the model plugin does for `replaces_stored`
    told = gptq.quantization_config(source_of(folder))
    assert told.replaces_stored
    return gptq.quantize(load_plain(folder, dtype, config=config, quantization_config=told), None)


@pytest.mark.parametrize("options", [{}, {"bits": 3, "sym": False, "desc_act": True}, {"skip_modules": ["layers.1"]}])
def test_a_stored_model_is_loaded_without_its_full_weights(
    tiny_llama: Path, tmp_path: Path, tiny_bpe, quantise, options
) -> None:
    gptq, model = quantise(tiny_llama, **options)
    folder = stored(gptq, tmp_path, tiny_bpe)
    again = loaded(folder)
    assert torch.equal(logits_of(again, tiny_bpe), logits_of(model, tiny_bpe))
    packed = [module for module in again.modules() if isinstance(module, PackedLinear)]
    assert packed and not any(weight.requires_grad for layer in packed for weight in layer.parameters())
    assert again.config.quantization_config == json.loads((folder / "config.json").read_text())["quantization_config"]
    with pytest.raises(ValueError, match="not serializable"):
        again.save_pretrained(tmp_path / "again")


def test_zero_points_that_are_lessened_by_one(tiny_llama: Path, tmp_path: Path, tiny_bpe, quantise) -> None:
    from safetensors.torch import save_file

    """The first format, in which older models with zero points are stored."""
    gptq, model = quantise(tiny_llama, sym=False)
    folder = stored(gptq, tmp_path, tiny_bpe)
    tensors = load_file(folder / "model.safetensors")
    for name, tensor in tensors.items():
        if name.endswith(".qzeros"):
            tensors[name] = tensor - 0x11111111  # one less in each half byte; none is 0 before
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    assert config["quantization_config"]["checkpoint_format"] == "gptq_v2"
    config["quantization_config"]["checkpoint_format"] = "gptq"
    (folder / "config.json").write_text(json.dumps(config))
    assert torch.equal(logits_of(loaded(folder), tiny_bpe), logits_of(model, tiny_bpe))


def test_a_resumed_run_takes_what_was_stored(tiny_llama: Path, tmp_path: Path, tiny_bpe, quantise) -> None:
    """Even when calibrating again gives something else."""
    gptq, model = quantise(tiny_llama)
    expected = logits_of(model, tiny_bpe)
    stored(gptq, tmp_path, tiny_bpe)
    other, changed = quantise(tiny_llama, damping=1.0)
    assert not torch.equal(logits_of(changed, tiny_bpe), expected)
    next(other.fit(SimpleNamespace(output_dir=tmp_path, resume=True, processor=tiny_bpe)))
    assert torch.equal(logits_of(changed, tiny_bpe), expected)


# ---- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quantization", "message"),
    [
        ({"quant_method": "bitsandbytes"}, r"(?s)stored as bitsandbytes.*gptq, gptq_v2, awq gemm"),
        ({"quant_method": "awq", "version": "gemv"}, "stored as awq gemv"),
        ({"quant_method": "gptq", "checkpoint_format": "marlin"}, r"(?s)the GPTQ format marlin.*gptq"),
    ],
)
def test_what_is_stored_otherwise_is_refused(tmp_path: Path, quantization, message: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": quantization}))
    with pytest.raises(TunesmithError, match=message):
        Gptq().quantization_config(source_of(tmp_path))


def test_a_full_model_is_loaded_as_ever(tiny_llama: Path) -> None:
    assert Gptq().quantization_config(source_of(tiny_llama)) is None


def test_groups_that_do_not_come_out_even_are_refused(tiny_llama: Path, quantise) -> None:
    with pytest.raises(TunesmithError, match=r"(?s)group_size=128: the 64 × 64 weights of .*\.q_proj .*skip_modules"):
        quantise(tiny_llama, group_size=128)


def test_without_data_nothing_is_computed(tiny_llama: Path, tmp_path: Path, tiny_bpe) -> None:
    """Outside training a model waits for the folder of a run, and says so instead of answering in full numbers."""
    gptq = Gptq(group_size=32)
    model = gptq.quantize(load_plain(tiny_llama), None)
    with pytest.raises(TunesmithError, match=r"(?s)quantizer=gptq has no data.*RUN/quantized"):
        logits_of(model, tiny_bpe)
    with pytest.raises(TunesmithError, match="was not trained over quantizer=gptq"):
        next(gptq.apply_adapter(model, tmp_path, source_of(tiny_llama, training=False)))
    model = gptq.quantize(load_plain(tiny_llama), None)
    with pytest.raises(TunesmithError, match="makes its own batches"):
        next(gptq.apply_adapter(model, None, source_of(tiny_llama)))


def test_batches_of_another_kind_are_refused(tiny_llama: Path) -> None:
    with pytest.raises(TunesmithError, match=r"batches with input_ids, and this stage's have prompts"):
        Gptq(group_size=32).quantize(load_plain(tiny_llama), lambda: iter([{"prompts": []}]))
    with pytest.raises(TunesmithError, match="no training data"):
        Gptq(group_size=32).quantize(load_plain(tiny_llama), lambda: iter([]))


def test_a_folder_of_another_model_is_refused(tiny_llama: Path, tmp_path: Path, tiny_bpe, quantise) -> None:
    folder = stored(quantise(tiny_llama)[0], tmp_path, tiny_bpe)
    smaller = load_plain(save_tiny_model(tmp_path / "smaller", layers=1))
    with pytest.raises(TunesmithError, match=r"stored for another model: this one has no model\.layers\.1"):
        restore(smaller, folder)


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        ({}, []),
        ({"group_size": -1}, []),
        ({"group_size": 20}, ["quantizer.group_size"]),
        ({"group_size": 0}, ["quantizer.group_size"]),
    ],
)
def test_check(options, keys) -> None:
    gptq = Gptq(**options)
    problems = gptq.check(StubPlan({"quantizer": {"gptq": gptq}}))
    assert [problem.key for problem in problems] == keys


@pytest.mark.parametrize("values", [{"group_size": -2}, {"samples": 0}, {"sample_length": 0}, {"damping": 0.0}])
def test_ranges(values) -> None:
    _, problems = structured(Gptq, values, ("quantizer",), "quantizer=gptq")
    assert [str(problem.key) for problem in problems] == [f"quantizer.{name}" for name in values]


@pytest.mark.gpu
@pytest.mark.parametrize("bits", ALL_BITS)
def test_on_a_gpu(tiny_llama: Path, tmp_path: Path, tiny_bpe, quantise, bits: int) -> None:
    """Calibrated there from a model on the CPU, moved there, and computed there in bfloat16 as on the CPU."""
    gptq, model = quantise(tiny_llama, "bfloat16", bits=bits)
    expected = logits_of(model, tiny_bpe)
    folder = stored(gptq, tmp_path, tiny_bpe)
    there = logits_of(model.cuda(), tiny_bpe)
    assert (there - expected).norm() < 0.05 * expected.norm()
    again = loaded(folder, "bfloat16").cuda()
    assert torch.equal(logits_of(again, tiny_bpe), there)
