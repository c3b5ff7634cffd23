"""Averages by closed forms in float64, merges as peft makes them, and what does not fit is named."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from tunesmith import TunesmithError
from tunesmith_exporter_average import Average
from tunesmith_exporter_average.apart import distance
from tunesmith_exporter_average.averaging import mean
from tunesmith_library_configuration.manifests import seal
from tunesmith_library_configuration.records import MARKER
from tunesmith_library_publishing.inventory import tensors_of
from tunesmith_library_testing.parts import CHATML, StubPlan, handle_of, load_plain, logits_of
from tunesmith_library_testing.suites.plugin import PluginSuite

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
Q_PROJ = "base_model.model.model.layers.0.self_attn.q_proj"


class TestAverage(PluginSuite):
    kind = "exporter"
    plugin = Average
    options: ClassVar[dict[str, Any]] = {}


def adapter(base: Path, folder: Path, seed: int, **options: Any) -> Path:
    """An adapter with weights that do something, as a run leaves it."""
    config = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "down_proj"], **options}
    model = get_peft_model(load_plain(base), LoraConfig(task_type="CAUSAL_LM", **config))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in (weight for weight in model.parameters() if weight.requires_grad):
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.1)
    model.save_pretrained(folder)
    return folder


def checkpoint(run: Path, step: int, source: Path) -> Path:
    """What a run leaves on its way, whole."""
    folder = run / f"checkpoint-{step}"
    source.rename(folder)
    seal(folder, MARKER, {})
    return folder


def handle(base: Path, run: Path, tokenizer: Any) -> Any:
    plain = handle_of(
        base,
        tokenizer,
        template=CHATML.bind(tokenizer),
        load=lambda: PeftModel.from_pretrained(load_plain(base), str(run)),
    )
    return dataclasses.replace(plain, adapter=run)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> list[Path]:
    """Three runs over one base, the first with three checkpoints, of which one was never finished."""
    folder = tmp_path_factory.mktemp("runs")
    made = [adapter(tiny_llama, folder / name, seed) for seed, name in enumerate("abc")]
    for step in (10, 20):
        checkpoint(made[0], step, adapter(tiny_llama, folder / "draft", step))
    adapter(tiny_llama, made[0] / "checkpoint-30", 30)
    return made


def closed_form(folders: Sequence[Path], weights: Sequence[float]) -> dict[str, torch.Tensor]:
    """Σ wᵢ xᵢ / Σ wᵢ in float64, rounded once."""
    parts = [load_file(folder / WEIGHTS) for folder in folders]
    total = sum(weights)
    return {
        name: (sum(weight * part[name].double() for weight, part in zip(weights, parts, strict=True)) / total).float()
        for name in parts[0]
    }


def delta(folder: Path, scale: float) -> torch.Tensor:
    """What an adapter adds to one layer: s B A, float64."""
    weights = load_file(folder / WEIGHTS)
    a, b = (weights[f"{Q_PROJ}.lora_{name}.weight"].double() for name in "AB")
    return scale * b @ a


def scale_of(folder: Path) -> float:
    config = json.loads((folder / CONFIG).read_text())
    rank = config["r"] ** 0.5 if config["use_rslora"] else config["r"]
    return float(config["lora_alpha"] / rank)


def test_the_mean_is_rounded_once() -> None:
    """In bfloat16, 1 and 1 + 2⁻⁷ and 1: their sum would be rounded to 3, their mean is 1 + 2⁻⁷ / 3 → 1."""
    parts = [torch.tensor([value], dtype=torch.bfloat16) for value in (1.0, 1.0078125, 1.0078125)]
    found = mean(parts, [2.0] * 3)
    assert found.dtype == torch.bfloat16 and found.item() == 1.0078125
    assert mean([torch.tensor([3]), torch.tensor([3])], [0.5, 0.5]).item() == 3


@pytest.mark.parametrize(
    ("options", "steps", "weights"),
    [
        ({}, (10, 20), (1, 1)),
        ({"last": 1}, (20,), (1,)),
        ({"steps": [20, 10], "weights": [3.0, 1.0]}, (20, 10), (3, 1)),
    ],
    ids=["all", "last", "named"],
)
def test_checkpoints(
    runs: list[Path],
    tiny_llama: Path,
    tiny_bpe: Any,
    tmp_path: Path,
    options: Any,
    steps: Any,
    weights: Any,
    caplog: Any,
) -> None:
    written = Average(**options).export(handle(tiny_llama, runs[0], tiny_bpe), tmp_path / "out")
    expected = closed_form([runs[0] / f"checkpoint-{step}" for step in steps], weights)
    found = load_file(written / WEIGHTS)
    assert found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)
    assert "checkpoint-30 is left out: it has no complete.json" in caplog.text
    report = json.loads((written / "export_report.json").read_text())
    assert list(report["averaged"]["members"].values()) == list(weights)
    assert report["stages"]["writing"]["largest"] < 1e-4


def test_a_mean_of_matrices_beside_the_mean_of_what_they_do(runs: list[Path]) -> None:
    """Over all layers, by the products themselves in float64; the same adapter twice is no distance from itself."""
    weights, apart, whole = [3.0, 1.0], 0.0, 0.0
    parts = [load_file(folder / WEIGHTS) for folder in runs[:2]]
    for name in (name for name in parts[0] if ".lora_A." in name):
        pairs = [(part[name].double(), part[name.replace("lora_A", "lora_B")].double()) for part in parts]
        a, b = (0.75 * one + 0.25 * other for one, other in zip(*pairs, strict=True))
        wanted = 0.75 * pairs[0][1] @ pairs[0][0] + 0.25 * pairs[1][1] @ pairs[1][0]
        apart, whole = apart + float((b @ a - wanted).square().sum()), whole + float(wanted.square().sum())
    stored = [tensors_of(folder) for folder in runs[:2]]
    assert distance(stored, weights) == pytest.approx((apart / whole) ** 0.5, rel=1e-9)
    assert distance([stored[0], stored[0]], weights) == pytest.approx(0.0, abs=1e-6)


def test_cat_over_a_base_of_16_bits_keeps_every_digit(
    runs: list[Path], tiny_llama: Path, tiny_bpe: Any, tmp_path: Path
) -> None:
    own = handle(tiny_llama, runs[0], tiny_bpe)
    own = dataclasses.replace(
        own, load=lambda: PeftModel.from_pretrained(load_plain(tiny_llama).bfloat16(), str(runs[0]))
    )
    options: dict[str, Any] = {"runs": [str(runs[1])], "weights": [0.7, -0.3], "method": "cat", "verify": False}
    written = Average(**options).export(own, tmp_path / "out")
    assert {weight.dtype for weight in load_file(written / WEIGHTS).values()} == {torch.float32}
    expected = sum(w * delta(folder, scale_of(folder)) for w, folder in zip([0.7, -0.3], runs, strict=False))
    torch.testing.assert_close(delta(written, 1.0), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.slow
def test_results_of_runs(runs: list[Path], tiny_llama: Path, tiny_bpe: Any, tmp_path: Path, caplog: Any) -> None:
    """Plain peft loads the result over the base, and computes what the mean of the weights computes."""
    caplog.set_level("INFO", "tunesmith")
    options = {"runs": [str(runs[1]), str(runs[2])], "weights": [1.0, 2.0, 3.0]}
    written = Average(**options).export(handle(tiny_llama, runs[0], tiny_bpe), tmp_path / "out")
    assert "off the mean of what they do" in caplog.text and "(3 runs)" in caplog.text
    assert json.loads((written / "export_report.json").read_text())["averaged"]["apart"] > 0.01
    expected = closed_form(runs, [1, 2, 3])
    assert all(torch.equal(weight, expected[name]) for name, weight in load_file(written / WEIGHTS).items())
    loaded = PeftModel.from_pretrained(load_plain(tiny_llama), str(written))
    by_hand = adapter(tiny_llama, tmp_path / "hand", 0)
    save_file(expected, by_hand / WEIGHTS, {"format": "pt"})
    model = PeftModel.from_pretrained(load_plain(tiny_llama), str(by_hand))
    assert torch.equal(logits_of(loaded, tiny_bpe), logits_of(model, tiny_bpe))


@pytest.mark.parametrize("method", ["cat", *(pytest.param(each, marks=pytest.mark.slow) for each in ("linear", "svd"))])
def test_sums_by_closed_forms(runs: list[Path], tiny_llama: Path, tiny_bpe: Any, tmp_path: Path, method: str) -> None:
    """rsLoRA's scale is alpha / √r; whatever the members' scales are, the result's is 1, and the sums are right."""
    other = adapter(tiny_llama, tmp_path / "other", 7, use_rslora=True)
    weights, folders = [0.75, -0.5], [other, runs[1]]
    options = {"runs": [str(runs[1])], "weights": weights, "method": method, "rank": 8 if method == "svd" else None}
    written = Average(**options).export(handle(tiny_llama, other, tiny_bpe), tmp_path / "out")
    assert scale_of(written) == 1
    parts = [load_file(folder / WEIGHTS) for folder in folders]
    if method == "linear":  # A and B apart, each times the root of weight and scale, the sign with A
        roots = [abs(weight * scale_of(folder)) ** 0.5 for weight, folder in zip(weights, folders, strict=True)]
        a = sum(
            r * s * part[f"{Q_PROJ}.lora_A.weight"].double() for r, s, part in zip(roots, (1, -1), parts, strict=True)
        )
        b = sum(root * part[f"{Q_PROJ}.lora_B.weight"].double() for root, part in zip(roots, parts, strict=True))
        expected = b @ a
    else:
        expected = sum(w * delta(folder, scale_of(folder)) for w, folder in zip(weights, folders, strict=True))
    torch.testing.assert_close(delta(written, 1.0), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["ties", "dare_linear", "dare_ties_svd"])
def test_sparse_merges_are_pefts(
    runs: list[Path], tiny_llama: Path, tiny_bpe: Any, tmp_path: Path, method: str
) -> None:
    options = {"runs": [str(runs[1]), str(runs[2])], "method": method, "density": 0.3, "weights": [1.0, 0.5, 2.0]}
    written = Average(**options).export(handle(tiny_llama, runs[0], tiny_bpe), tmp_path / "out")
    model = PeftModel.from_pretrained(load_plain(tiny_llama), str(runs[0]), adapter_name="a")
    for folder in runs[1:]:
        model.load_adapter(str(folder), folder.name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model.add_weighted_adapter(["a", "b", "c"], [1.0, 0.5, 2.0], "merged", combination_type=method, density=0.3)
    model.set_adapter("merged")
    loaded = PeftModel.from_pretrained(load_plain(tiny_llama), str(written))
    torch.testing.assert_close(logits_of(loaded, tiny_bpe), logits_of(model, tiny_bpe), atol=1e-5, rtol=0)
    model.set_adapter("a")
    assert (logits_of(loaded, tiny_bpe) - logits_of(model, tiny_bpe)).abs().max() > 0.01


@pytest.mark.parametrize(
    ("other", "options", "named"),
    [
        ({"r": 2}, {}, r"r is 4 in .*, and 2 in .*\n(?s:.*)tensors have other shapes"),
        ({"target_modules": ["q_proj"]}, {}, r"target_modules is .*down_proj(?s:.*)down_proj.*: in .*, and not in"),
        ({"r": 2}, {"method": "ties"}, r"takes adapters of one rank, and the ranks are 4 in .*, 2 in"),
        ({"modules_to_save": ["lm_head"]}, {"method": "svd"}, r"has modules that are trained whole \(lm_head\)"),
    ],
    ids=["ranks", "targets", "ranks for ties", "whole modules"],
)
def test_what_does_not_fit(
    runs: list[Path], tiny_llama: Path, tiny_bpe: Any, tmp_path: Path, other: Any, options: Any, named: str
) -> None:
    second = adapter(tiny_llama, tmp_path / "second", 5, **other)
    with pytest.raises(TunesmithError, match=named):
        Average(runs=[str(second)], **options).export(handle(tiny_llama, runs[0], tiny_bpe), tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["second"]


def test_other_bases_and_missing_checkpoints(
    runs: list[Path], tiny_llama: Path, tiny_bpe: Any, tmp_path: Path, caplog: Any
) -> None:
    caplog.set_level("INFO", "tunesmith")
    second = adapter(tiny_llama, tmp_path / "second", 5)
    config = json.loads((second / CONFIG).read_text())
    (second / CONFIG).write_text(json.dumps({**config, "base_model_name_or_path": "org/other"}))
    own = handle(tiny_llama, runs[0], tiny_bpe)
    for method in ("cat", "average"):
        with pytest.raises(TunesmithError, match=r"was trained over .*llama.*, and .*second over org/other") as refused:
            Average(runs=[str(second)], method=method).export(own, tmp_path / "out")
        assert f"leave out {second}" in str(refused.value) and "method=" not in str(refused.value)
    assert "averaged" not in caplog.text
    with pytest.raises(TunesmithError, match=r"no whole checkpoint after 15 steps(?s:.*)checkpoint-10"):
        Average(steps=[15]).export(own, tmp_path / "out")
    with pytest.raises(TunesmithError, match=r"has no whole checkpoint(?s:.*)exporter\.average\.runs"):
        Average().export(handle(tiny_llama, runs[1], tiny_bpe), tmp_path / "out")
    with pytest.raises(TunesmithError, match=r"weights has 3 numbers, for 2 .*\n  checkpoint-10, checkpoint-20"):
        Average(weights=[1.0, 1.0, 1.0]).export(own, tmp_path / "out")


def test_checkpoints_that_fit_another_base(tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
    """PiSSA's result has twice the rank of its checkpoints, which stand over a base that has changed."""
    run = adapter(tiny_llama, tmp_path / "run", 1, r=8)
    checkpoint(run, 10, adapter(tiny_llama, tmp_path / "draft", 2))
    with pytest.raises(TunesmithError, match=r"of rank 4, and the run's result one of rank 8"):
        Average().export(handle(tiny_llama, run, tiny_bpe), tmp_path / "out")


@pytest.mark.slow
def test_whole_models(tiny_llama: Path, tiny_bpe: Any, tmp_path: Path) -> None:
    """Every tensor is the mean; the folder is a model that plain transformers loads."""
    run = tmp_path / "run"
    for folder, seed in ((run, 0), (tmp_path / "one", 1), (tmp_path / "two", 2)):
        model = load_plain(tiny_llama)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weight in model.parameters():
                weight += torch.randn(weight.shape, generator=generator) * 0.01
        model.save_pretrained(folder)
    tiny_bpe.save_pretrained(run)
    made = [checkpoint(run, step, tmp_path / name) for step, name in ((1, "one"), (2, "two"))]
    own = handle_of(run, tiny_bpe, template=CHATML.bind(tiny_bpe))
    written = Average().export(own, tmp_path / "out")
    one, two, found = (load_file(folder / "model.safetensors") for folder in (*made, written))
    assert found.keys() == one.keys()
    assert all(torch.equal(found[name], ((one[name].double() + two[name].double()) / 2).float()) for name in found)
    assert load_plain(written).config.architectures == ["LlamaForCausalLM"]
    with pytest.raises(TunesmithError, match=r"method=ties merges LoRA adapters, and .*run is a whole model"):
        Average(method="ties").export(own, tmp_path / "ties")


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        ({"runs": ["a"], "last": 2}, ["exporter.average.runs"]),
        ({"last": 2, "steps": [3]}, ["exporter.average.last"]),
        ({"runs": ["a"], "weights": [1.0]}, ["exporter.average.weights"]),
        ({"steps": [1, 2], "weights": [1.0, -1.0]}, ["exporter.average.weights"]),
        ({"rank": 4}, ["exporter.average.rank"]),
        ({"rank": 4, "method": "ties_svd"}, []),
    ],
)
def test_check(options: dict[str, Any], keys: list[str]) -> None:
    exporter = Average(**options)
    problems = exporter.check(StubPlan({"exporter": {"average": exporter}}, "export"))
    assert [problem.key for problem in problems] == keys
