"""AQLM: a checkpoint made here from a small model, read, computed with, and trained over."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tunesmith import TunesmithError
from tunesmith_library_testing import QuantizerSuite
from tunesmith_library_testing.parts import collate, examples, load_plain, logits_of, mean_loss, source_of, train
from tunesmith_library_weights.dequantising import dequantised, in_full
from tunesmith_quantizer_aqlm import Aqlm
from tunesmith_quantizer_aqlm.linear import AqlmLinear, dequantise

SIZES = {"num_codebooks": 2, "nbits_per_codebook": 8, "out_group_size": 1, "in_group_size": 8}
LAYER = "model.layers.0.mlp.up_proj"


def k_means(points: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A codebook (count, d) for points (n, d), and the nearest entry of each (n): Lloyd's algorithm, 8 rounds."""
    book = points[torch.randperm(len(points))[torch.arange(count) % len(points)]].clone()
    for _ in range(8):
        nearest = torch.cdist(points, book).argmin(1)
        sums = torch.zeros_like(book).index_add_(0, nearest, points)
        counts = torch.bincount(nearest, minlength=count)
        book = torch.where(counts[:, None] > 0, sums / counts.clamp_min(1)[:, None], book)
    return book, torch.cdist(points, book).argmin(1)


def encode(weight: torch.Tensor, sizes: dict[str, int]) -> dict[str, torch.Tensor]:
    """A weight (out, in) as AQLM stores it: each codebook fits what those before it leave (residual k-means)."""
    out, entries = sizes["out_group_size"], 2 ** sizes["nbits_per_codebook"]
    columns = sizes["in_group_size"]
    scales = weight.unflatten(0, (-1, out)).square().mean((1, 2)).sqrt().view(-1, 1, 1, 1)
    rest = weight.unflatten(0, (-1, out)).unflatten(2, (-1, columns)).transpose(1, 2) / scales
    shape = rest.shape  # (out / o, in / g, o, g)
    rest = rest.flatten(0, 1).flatten(1)
    books, codes = [], []
    for _ in range(sizes["num_codebooks"]):
        book, nearest = k_means(rest, entries)
        rest = rest - book[nearest]
        books.append(book.unflatten(1, shape[2:]))
        codes.append(nearest)
    whole = torch.int8 if entries <= 256 else torch.int16
    indices = torch.stack(codes, 1).unflatten(0, shape[:2])
    return {
        "codes": torch.where(indices >= entries // 2, indices - entries, indices).to(whole),
        "codebooks": torch.stack(books),
        "scales": scales,
    }


def decoded(tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    """The weight (out, in) in float64, number by number from the formula."""
    codes, books, scales = (tensors[name] for name in ("codes", "codebooks", "scales"))
    entries, rows, columns = books.shape[1:]
    weight = torch.zeros(codes.shape[0] * rows, codes.shape[1] * columns, dtype=torch.float64)
    for i in range(codes.shape[0]):
        for j in range(codes.shape[1]):
            group = sum(books[m][int(code) % entries].double() for m, code in enumerate(codes[i, j]))
            weight[i * rows : (i + 1) * rows, j * columns : (j + 1) * columns] = scales[i].double() * group
    return weight


def stored(folder: Path, target: Path, sizes: dict[str, int]) -> Path:
    """The model of a folder as an AQLM checkpoint, with its head as it is."""
    torch.manual_seed(0)
    model = load_plain(folder)
    model.save_pretrained(target)
    tensors = {}
    for name, tensor in load_file(target / "model.safetensors").items():
        module, _, last = name.rpartition(".")
        if last == "weight" and name != "lm_head.weight" and isinstance(model.get_submodule(module), torch.nn.Linear):
            tensors |= {f"{module}.{part}": value.contiguous() for part, value in encode(tensor, sizes).items()}
        else:
            tensors[name] = tensor
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((target / "config.json").read_text())
    kept = [name for name in tensors if name.endswith(".weight")]
    config["quantization_config"] = {"quant_method": "aqlm", "linear_weights_not_to_quantize": kept, **sizes}
    (target / "config.json").write_text(json.dumps(config))
    return target


def read(folder: Path, dtype: str = "float32", **options: Any) -> Any:
    """A stored model as the pipeline loads it."""
    quantizer = Aqlm()
    quantizer.quantization_config(source_of(folder))
    around = quantizer.load_model()
    next(around)
    model = load_plain(folder, dtype, **options)
    with pytest.raises(StopIteration) as done:
        around.send(model)
    return quantizer.quantize(done.value.value)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Path:
    return stored(tiny_llama, tmp_path_factory.mktemp("aqlm"), SIZES)


class TestAqlm(QuantizerSuite):
    plugin = Aqlm
    bits_option = None
    error_bounds = {2: 0.5}

    def quantized(self, folder: Path, bits: int) -> Any:
        """Nothing is quantised here: the model is stored first."""
        del bits
        target = folder.parent / f"{folder.name}-aqlm"
        return read(target if target.exists() else stored(folder, target, SIZES))

    def planned(self, folder: Path) -> dict[str, Any]:
        return {"model.path": str(folder.parent / f"{folder.name}-aqlm")}


def linears(model: Any) -> Iterator[tuple[str, AqlmLinear]]:
    return ((name, layer) for name, layer in model.named_modules() if isinstance(layer, AqlmLinear))


@pytest.mark.parametrize(
    "sizes",
    [
        SIZES,
        {"num_codebooks": 1, "nbits_per_codebook": 12, "out_group_size": 1, "in_group_size": 8},
        {"num_codebooks": 1, "nbits_per_codebook": 16, "out_group_size": 1, "in_group_size": 16},
        {"num_codebooks": 3, "nbits_per_codebook": 4, "out_group_size": 2, "in_group_size": 4},
    ],
    ids=["2x8", "1x12", "1x16", "3x4 of 2 outputs"],
)
def test_a_weight_is_what_the_formula_says(sizes: dict[str, int]) -> None:
    torch.manual_seed(1)
    layer = AqlmLinear(torch.nn.Linear(48, 24, dtype=torch.float64), **sizes)
    entries = 2 ** sizes["nbits_per_codebook"]
    layer.codes.copy_(torch.randint(-entries // 2, entries // 2, layer.codes.shape))
    layer.codebooks.normal_(), layer.scales.uniform_(0.5, 2), layer.bias.normal_()
    expected = decoded(dict(layer.named_parameters()))
    torch.testing.assert_close(layer.weight, expected, atol=1e-12, rtol=1e-12)
    x = torch.randn(2, 3, 48, dtype=torch.float64, requires_grad=True)
    out = layer(x)
    torch.testing.assert_close(out, x @ expected.T + layer.bias, atol=1e-12, rtol=1e-12)
    (gradient,) = torch.autograd.grad(out.sin().sum(), x)
    torch.testing.assert_close(gradient, out.detach().cos() @ expected, atol=1e-12, rtol=1e-12)


def test_the_package_decodes_the_same() -> None:
    """Where the package aqlm is installed, which needs numba."""
    theirs = pytest.importorskip("aqlm.utils")
    torch.manual_seed(2)
    layer = AqlmLinear(torch.nn.Linear(64, 32), **SIZES)
    raw = torch.randint(0, 256, layer.codes.shape)
    layer.codes.copy_(theirs.pack_int_data(raw.clone(), 8))
    layer.codebooks.normal_(), layer.scales.uniform_(0.5, 2)
    expected = theirs._dequantize_weight(raw, layer.codebooks.detach(), layer.scales.detach())
    assert torch.equal(dequantise(layer.codes, layer.codebooks, layer.scales), expected)


def test_a_checkpoint_is_read_as_it_stands(checkpoint: Path, tiny_llama: Path, tiny_bpe: Any) -> None:
    """Every tensor of the file is in the model, and its logits are those of the decoded weights."""
    model, plain = read(checkpoint), load_plain(tiny_llama)
    tensors = load_file(checkpoint / "model.safetensors")
    assert model.state_dict().keys() - {"lm_head.weight"} == tensors.keys() - {"lm_head.weight"}
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in tensors.items())
    names = [name for name, _ in linears(model)]
    assert len(names) == 7 * model.config.num_hidden_layers
    for name in names:
        parts = {part: tensors[f"{name}.{part}"] for part in ("codes", "codebooks", "scales")}
        plain.get_submodule(name).weight.data = decoded(parts).float()
    torch.testing.assert_close(logits_of(model, tiny_bpe), logits_of(plain, tiny_bpe), atol=1e-5, rtol=1e-5)
    with in_full():
        full = read(checkpoint)
    assert dequantised(full) == tuple(names) and getattr(full.config, "quantization_config", None) is None
    for name in names:
        layer = full.get_submodule(name)
        assert type(layer) is torch.nn.Linear
        torch.testing.assert_close(layer.weight, plain.get_submodule(name).weight, atol=1e-6, rtol=1e-6)


def test_codes_stay_and_other_tensors_take_the_precision(checkpoint: Path, tiny_bpe: Any) -> None:
    layer = read(checkpoint, "bfloat16").get_submodule(LAYER)
    assert (layer.codes.dtype, layer.codebooks.dtype, layer.scales.dtype) == (
        torch.int8,
        torch.bfloat16,
        torch.bfloat16,
    )
    expected = logits_of(read(checkpoint), tiny_bpe)
    assert (logits_of(read(checkpoint, "bfloat16"), tiny_bpe) - expected).norm() < 0.05 * expected.norm()


def test_codes_take_the_memory_that_the_sizes_say(checkpoint: Path) -> None:
    layer = read(checkpoint).get_submodule(LAYER)
    bits = SIZES["num_codebooks"] * SIZES["nbits_per_codebook"] / math.prod((1, SIZES["in_group_size"]))
    assert 8 * layer.codes.numel() * layer.codes.element_size() == bits * layer.in_features * layer.out_features


def test_backward_keeps_no_weight(checkpoint: Path) -> None:
    layer, kept = read(checkpoint).get_submodule(LAYER), []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        layer(torch.randn(1, layer.in_features, requires_grad=True))
    assert sum(tensor.numel() for tensor in kept) < layer.in_features * layer.out_features


@pytest.mark.parametrize("dora", [False, True])
def test_lora_is_trained_saved_and_loaded(checkpoint: Path, tiny_bpe: Any, tmp_path: Path, dora: bool) -> None:
    import peft

    batch = collate(examples(tiny_bpe))
    config = peft.LoraConfig(r=8, target_modules="all-linear", modules_to_save=["lm_head"], use_dora=dora)
    model = peft.get_peft_model(read(checkpoint), config)
    losses = train(model.train(), batch, steps=24)
    assert losses[-1] < 0.5 * losses[0]
    frozen = dict(read(checkpoint).named_parameters())
    codes = {name: weight for name, weight in model.named_parameters() if name.endswith(".codes")}
    assert codes and all(
        torch.equal(weight, frozen[name.removeprefix("base_model.model.").replace("base_layer.", "")])
        for name, weight in codes.items()
    )
    model.save_pretrained(tmp_path)
    loaded = peft.PeftModel.from_pretrained(read(checkpoint), tmp_path)
    assert torch.equal(logits_of(loaded, tiny_bpe), logits_of(model, tiny_bpe))


def test_gradients_under_autocast(checkpoint: Path, tiny_bpe: Any) -> None:
    """In bfloat16 under autocast, as the trainer computes, gradients are near those in float32."""
    batch, gradients = collate(examples(tiny_bpe)), []
    for dtype in ("float32", "bfloat16"):
        model = read(checkpoint, dtype)
        model.model.embed_tokens.weight.requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
            loss = mean_loss(model, batch)
        (gradient,) = torch.autograd.grad(loss, model.model.embed_tokens.weight)
        gradients.append(gradient.float())
    reference, ours = gradients
    assert 0 < (ours - reference).norm() < 0.08 * reference.norm()


def test_our_reader_stands_only_while_a_model_is_loaded(checkpoint: Path) -> None:
    from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING

    before = AUTO_QUANTIZER_MAPPING["aqlm"]
    read(checkpoint)
    assert AUTO_QUANTIZER_MAPPING["aqlm"] is before
    around = Aqlm().load_model()
    next(around)
    assert AUTO_QUANTIZER_MAPPING["aqlm"] is not before
    with pytest.raises(OSError, match="no weights"):
        around.throw(OSError("no weights"))
    assert AUTO_QUANTIZER_MAPPING["aqlm"] is before


@pytest.mark.parametrize(
    ("stored_as", "message"),
    [
        (None, r"(?s)is stored in whole numbers.*quantizer=hqq"),
        ({"quant_method": "gptq", "bits": 4}, r"(?s)is stored in few bits by gptq.*leave the quantizer out"),
        ({"quant_method": "aqlm", "num_codebooks": 1, "out_group_size": 0}, r"lacks nbits_per_codebook, out_.*, in_"),
    ],
)
def test_other_models_are_refused_before_they_are_read(tmp_path: Path, stored_as: Any, message: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": stored_as} if stored_as else {}))
    with pytest.raises(TunesmithError, match=message):
        Aqlm().quantization_config(source_of(tmp_path))


def test_groups_that_do_not_fill_a_layer(checkpoint: Path, tmp_path: Path) -> None:
    config = json.loads((checkpoint / "config.json").read_text())
    config["quantization_config"]["in_group_size"] = 24
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes((checkpoint / "model.safetensors").read_bytes())
    with pytest.raises(ValueError, match=r"is 64 × 64, which AQLM's groups of 1 × 24 do not fill"):
        read(tmp_path)


@pytest.mark.slow
def test_a_run_is_trained_and_loaded(checkpoint: Path, tiny_bpe: Any, tmp_path: Path) -> None:
    """The whole road: an adapter over stored codes, loaded to the same logits, merged; adapter=full is refused."""
    import tunesmith

    for other in ("trainer_transformers", "adapter_lora", "stage_sft"):
        pytest.importorskip(f"tunesmith_{other}")
    tiny_bpe.save_pretrained(checkpoint)
    (tmp_path / "train.json").write_text(json.dumps([{"instruction": "Who are you?", "output": "A tiny model."}] * 8))
    config = {
        "model": {"path": str(checkpoint)},
        "template": "chatml",
        "data": {"train": [str(tmp_path / "train.json")], "cache": False},
        "quantizer": "aqlm",
        "adapter": {"name": "lora", "rank": 16, "modules_to_save": ["lm_head"]},
        "precision": "fp32",
        "output_dir": str(tmp_path / "run"),
        "trainer": {"max_steps": 40, "learning_rate": 1e-2, "save_strategy": "no"},
    }
    run = tunesmith.train(config)
    assert (run / "adapter_config.json").is_file()
    (answer,) = tunesmith.chat(run, [[{"role": "user", "content": "Who are you?"}]], ["engine.temperature=0"])
    assert answer == "A tiny model."
    first, second = (logits_of(tunesmith.ChatSession(run)._handle.load(), tiny_bpe) for _ in range(2))
    assert torch.equal(first, second) and not torch.equal(first, logits_of(read(checkpoint), tiny_bpe))
    merged = tunesmith.export(run, ["exporter.dtype=float32"], output_dir=tmp_path / "merged")
    torch.testing.assert_close(logits_of(load_plain(merged), tiny_bpe), first, atol=1e-3, rtol=1e-4)
    with pytest.raises(TunesmithError, match="adapter=full cannot train the few bits that quantizer=aqlm"):
        tunesmith.train({**config, "adapter": "full", "output_dir": str(tmp_path / "full")})
