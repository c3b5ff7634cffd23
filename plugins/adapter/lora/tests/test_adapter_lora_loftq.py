"""LoftQ: the start, against the SVD in float64; where it is saved; and the same adapter over another base."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tunesmith import TunesmithError
from tunesmith_adapter_lora import Lora
from tunesmith_adapter_lora.loftq import FILE, approximate, weight_of
from tunesmith_library_testing.parts import StubPlan, collate, examples, load_plain, logged, logits_of, source_of, train

LAYER = "model.layers.1.mlp.down_proj"
QUANTIZERS = {
    "nf4": {"name": "bitsandbytes"},
    "bnb8": {"name": "bitsandbytes", "bits": 8},
    "hqq2": {"name": "hqq", "bits": 2, "group_size": 32},
    "int8": {"name": "torchao"},
}


class Rounded(torch.nn.Linear):
    """A quantizer of the test's own: computes with other numbers than it holds, which nobody is told."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(x, self.weight.round(decimals=2), self.bias)


def rounded(folder: Path) -> Any:
    model = load_plain(folder)
    for layer in model.model.layers:
        for linear in (*layer.self_attn.children(), *layer.mlp.children()):
            if isinstance(linear, torch.nn.Linear):
                linear.__class__ = Rounded
    return model


def adapt(model: Any, folder: Path, trained: Path | None = None, training: bool = True, **options: Any) -> Any:
    torch.manual_seed(0)
    return Lora(**options).apply_adapter(model, trained, source_of(folder, training=training))


def finish(lora: Lora, folder: Path) -> None:
    """The end of `fit`, as the kernel calls it."""
    around = lora.fit(job=type("Job", (), {"output_dir": folder}))
    next(around)
    with pytest.raises(StopIteration):
        around.send(True)


def error(model: Any, reference: Any, tokenizer: Any) -> float:
    """The distance of the logits from those of the full weights, relative."""
    expected = logits_of(reference, tokenizer)
    return ((logits_of(model, tokenizer) - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("options", [{}, {"alpha": 3, "use_rslora": True}, {"rank_pattern": {"down_proj": 5}}])
def test_the_start_is_the_best_of_its_rank(tiny_llama: Path, options: dict[str, Any]) -> None:
    """Q + s B A is W's rounding corrected by the truncated SVD, computed apart in float64."""
    model = adapt(rounded(tiny_llama), tiny_llama, init="loftq", rank=8, **options)
    weight = load_plain(tiny_llama).get_submodule(LAYER).weight.double()
    quantised = weight.round(decimals=2)
    u, s, vt = torch.linalg.svd(weight - quantised)
    layer = model.get_submodule(f"base_model.model.{LAYER}")
    rank = layer.r["default"]
    assert rank == (5 if "rank_pattern" in options else 8)
    best = (u[:, :rank] * s[:rank]) @ vt[:rank]
    torch.testing.assert_close(layer.get_delta_weight("default").double(), best, atol=1e-6, rtol=1e-5)
    norms = [layer.lora_A["default"].weight.norm(), layer.lora_B["default"].weight.norm()]
    torch.testing.assert_close(*norms)


def test_full_rank_gives_the_full_precision_model_back(tiny_llama: Path, tiny_bpe: Any, caplog: Any) -> None:
    caplog.set_level(logging.INFO, "tunesmith")
    reference, start = load_plain(tiny_llama), rounded(tiny_llama)
    assert error(start, reference, tiny_bpe) > 0.1
    # the narrowest layers, k_proj and v_proj, have 32 outputs, and so has no better rank
    model = adapt(rounded(tiny_llama), tiny_llama, init="loftq", rank=32, rank_pattern={"mlp": 64, "[qo]_proj": 64})
    assert error(model, reference, tiny_bpe) < 1e-5
    assert "LoftQ: 100.0% of the rounding error" in caplog.text


def test_dora_starts_at_the_same_function(tiny_llama: Path, tiny_bpe: Any) -> None:
    plain, dora = (
        adapt(rounded_weights(tiny_llama), tiny_llama, init="loftq", use_dora=use_dora) for use_dora in (False, True)
    )
    torch.testing.assert_close(logits_of(dora, tiny_bpe), logits_of(plain, tiny_bpe), atol=1e-4, rtol=0)


def rounded_weights(folder: Path) -> Any:
    """As `rounded`, and the layers hold what they compute with: DoRA reads it."""
    model = rounded(folder)
    for module in model.modules():
        if isinstance(module, Rounded):
            module.weight.data = module.weight.data.round(decimals=2)
    return model


def test_the_weight_is_read_off_the_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """In chunks, with a bias, in training mode, and whatever the layer stores."""
    monkeypatch.setattr("tunesmith_adapter_lora.loftq._CHUNK", 7)
    layer = Rounded(17, 5).eval()
    modes = []
    layer.register_forward_hook(lambda module, inputs, output: modes.append(module.training))
    with torch.no_grad():
        found = weight_of(layer, torch.float32)
    torch.testing.assert_close(found, layer.weight.detach().round(decimals=2), atol=1e-6, rtol=0)
    assert all(modes) and not layer.training


def test_large_matrices_are_approximated_nearly_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunesmith_adapter_lora.loftq._EXACT", 0)
    torch.manual_seed(0)
    matrix = torch.rand(300, 400) - 0.5  # the flat spectrum of rounding errors, the hardest case
    best = torch.linalg.svdvals(matrix.double())[:8].square().sum().item()
    state = torch.get_rng_state()
    b, a = approximate(matrix, 8)
    found = (matrix.square().sum() - (matrix - b @ a).square().sum()).item()
    assert 0.97 * best < found <= best * (1 + 1e-5)
    assert torch.equal(torch.get_rng_state(), state), "the run's random numbers were used up"


def test_served_over_the_same_base_and_over_the_full_one(tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
    """Over the quantised base the adapter is as it was trained; over the full one only what it learned is added."""
    lora = Lora(init="loftq", target_modules=["down_proj", "q_proj"])
    torch.manual_seed(0)
    model = lora.apply_adapter(rounded(tiny_llama), None, source_of(tiny_llama))
    layer = model.get_submodule(f"base_model.model.{LAYER}")
    begun = layer.get_delta_weight("default").clone()
    losses = train(model, collate(examples(tiny_bpe)), steps=25)
    assert losses[-1] < 0.9 * losses[0]
    model.save_pretrained(tmp_path)
    finish(lora, tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["init_lora_weights"] is True
    again = Lora(init="loftq").apply_adapter(rounded(tiny_llama), tmp_path, source_of(tiny_llama, training=False))
    assert torch.equal(logits_of(again, tiny_bpe), logits_of(model, tiny_bpe))

    full = Lora().apply_adapter(load_plain(tiny_llama), tmp_path, source_of(tiny_llama, training=False))
    expected = load_plain(tiny_llama).get_submodule(LAYER).weight + layer.get_delta_weight("default") - begun
    merged = Lora().merge_adapter(full)
    torch.testing.assert_close(merged.get_submodule(LAYER).weight, expected, atol=1e-6, rtol=1e-5)
    restarted = adapt(load_plain(tiny_llama), tiny_llama, path=str(tmp_path), restart=True)
    torch.testing.assert_close(logits_of(restarted, tiny_bpe), logits_of(merged, tiny_bpe), atol=1e-5, rtol=0)


def test_going_on_keeps_the_start(tiny_llama: Path, tmp_path: Path) -> None:
    first = Lora(init="loftq", target_modules=["q_proj"])
    first.apply_adapter(rounded(tiny_llama), None, source_of(tiny_llama)).save_pretrained(tmp_path / "one")
    finish(first, tmp_path / "one")
    second = Lora(path=str(tmp_path / "one"))
    second.apply_adapter(rounded(tiny_llama), None, source_of(tiny_llama)).save_pretrained(tmp_path / "two")
    finish(second, tmp_path / "two")
    one, two = (load_file(tmp_path / name / FILE) for name in ("one", "two"))
    assert one.keys() == two.keys() and len(one) == 4
    assert all(torch.equal(one[name], two[name]) for name in one)
    with pytest.raises(TunesmithError, match="choose the same quantizer"):
        adapt(load_plain(tiny_llama), tiny_llama, path=str(tmp_path / "one"))


def test_names_in_the_files_may_have_another_prefix(tiny_llama: Path, tmp_path: Path) -> None:
    """And another model beside it, whose layers are called the same."""
    weights = load_file(tiny_llama / "model.safetensors")
    vision = {f"vision_tower.{name}": torch.randn_like(weight) for name, weight in weights.items()}
    text = {f"language_model.{name}": weight.bfloat16() for name, weight in weights.items()}
    save_file({**vision, **text}, tmp_path / "model.safetensors")
    expected, found = (
        adapt(rounded(tiny_llama), folder, init="loftq", target_modules=["q_proj"]) for folder in (tiny_llama, tmp_path)
    )
    name = "base_model.model.model.layers.0.self_attn.q_proj"
    deltas = [model.get_submodule(name).get_delta_weight("default") for model in (expected, found)]
    torch.testing.assert_close(*deltas, atol=2e-3, rtol=0)


@pytest.mark.parametrize("change", [lambda w: w.round().to(torch.int8), lambda w: torch.randn_like(w), lambda w: w[1:]])
def test_a_base_that_holds_other_weights(tiny_llama: Path, tmp_path: Path, change: Any) -> None:
    weights = load_file(tiny_llama / "model.safetensors")
    save_file({name: change(weight).contiguous() for name, weight in weights.items()}, tmp_path / "model.safetensors")
    with pytest.raises(TunesmithError, match=r"(?s)does not hold it.*16-bit version"):
        adapt(rounded(tiny_llama), tmp_path, init="loftq")


def test_what_cannot_be_started(tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match="no adapted layer is quantised"):
        adapt(load_plain(tiny_llama), tiny_llama, init="loftq")
    with pytest.raises(TunesmithError, match="has none"):
        adapt(rounded(tiny_llama), tmp_path, init="loftq")
    with pytest.raises(TunesmithError, match=r"rank=65 is above the sizes"):
        adapt(rounded(tiny_llama), tiny_llama, init="loftq", rank=65)


@pytest.mark.parametrize(
    ("options", "quantizer", "command", "problems"),
    [
        ({}, {"hqq": None}, "train", 0),
        ({}, {}, "train", 1),
        ({"path": "org/adapter"}, {"hqq": None}, "train", 1),
        ({}, {}, "export", 0),
    ],
)
def test_check(options: dict[str, Any], quantizer: Any, command: str, problems: int) -> None:
    lora = Lora(init="loftq", **options)
    found = lora.check(StubPlan({"adapter": {"lora": lora}, "quantizer": quantizer}, command))
    assert [problem.key for problem in found] == ["adapter.init"] * problems


# ---- with the quantizers --------------------------------------------------------------------------------------------


def quantised(folder: Path, quantizer: str) -> Any:
    """The model of a folder over a quantizer of the supported set."""
    from transformers import AutoTokenizer
    from tunesmith.catalog import Catalog

    loader = pytest.importorskip("tunesmith_model_transformers").Transformers(path=str(folder))
    options = dict(QUANTIZERS[quantizer])
    name = options.pop("name")
    pytest.importorskip(f"tunesmith_quantizer_{name}")
    catalog, source = Catalog.discover(), source_of(folder)
    plugin = catalog.load(catalog.find("quantizer", name))(**options)
    config = plugin.quantization_config(source=source) if hasattr(plugin, "quantization_config") else None
    model = loader.load_model(source, AutoTokenizer.from_pretrained(folder), config)
    return plugin.quantize(model=model) if hasattr(plugin, "quantize") else model


@pytest.mark.parametrize("quantizer", ["nf4", "hqq2", "int8"])
def test_nearer_to_the_full_model(quantizer: str, tiny_llama: Path, tiny_bpe: Any) -> None:
    """The first logits are nearer with the start than without, and the nearer the higher the rank."""
    full = load_plain(tiny_llama)
    errors = [error(quantised(tiny_llama, quantizer), full, tiny_bpe)]
    for rank in (8, 24):
        errors.append(
            error(adapt(quantised(tiny_llama, quantizer), tiny_llama, init="loftq", rank=rank), full, tiny_bpe)
        )
    assert errors[1] < 0.97 * errors[0] and errors[2] < 0.75 * errors[0], errors


@pytest.mark.slow
@pytest.mark.parametrize("quantizer", QUANTIZERS)
def test_a_run(quantizer: str, tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
    """Trained by the real loop, loaded again to the same logits, exported over the full base."""
    import tunesmith

    pytest.importorskip("tunesmith_trainer_transformers")
    pytest.importorskip(f"tunesmith_quantizer_{QUANTIZERS[quantizer]['name']}")
    rows = [{"instruction": f"Who are you, {number}?", "output": "A tiny model."} for number in range(8)]
    (tmp_path / "train.json").write_text(json.dumps(rows))
    run = tunesmith.train(
        {
            "model": {"path": str(tiny_llama)},
            "template": "chatml",
            "data": {"train": [str(tmp_path / "train.json")], "cache": False},
            "quantizer": QUANTIZERS[quantizer],
            "adapter": {"name": "lora", "init": "loftq", "rank": 16, "target_modules": ["all", "lm_head"]},
            "precision": "fp32",
            "tracker": ["jsonl"],
            "output_dir": str(tmp_path / "run"),
            "trainer": {"max_steps": 24, "learning_rate": 2e-2, "logging_steps": 1, "save_strategy": "no"},
        }
    )
    losses = logged(run)
    assert len(losses) == 24 and losses[-1] < 0.5 * losses[0]
    first, second = (logits_of(tunesmith.ChatSession(run)._handle.load(), tiny_bpe) for _ in range(2))
    assert torch.equal(first, second)
    by_hand = adapt(quantised(tiny_llama, quantizer), tiny_llama, run, training=False)
    assert torch.equal(logits_of(by_hand, tiny_bpe), first)

    merged = load_plain(tunesmith.export(run, {"quantizer": None}, output_dir=tmp_path / "merged"))
    layer = by_hand.get_submodule(f"base_model.model.{LAYER}")
    start = load_file(run / FILE)
    begun = start[f"base_model.model.{LAYER}.lora_B.weight"] @ start[f"base_model.model.{LAYER}.lora_A.weight"]
    learned = layer.get_delta_weight("default") - begun
    assert learned.norm() > 1e-2
    expected = load_plain(tiny_llama).get_submodule(LAYER).weight + learned
    torch.testing.assert_close(merged.get_submodule(LAYER).weight, expected, atol=1e-5, rtol=1e-4)
