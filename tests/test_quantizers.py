"""Every quantizer under an adapter, end to end: trained, saved, loaded to the same numbers, merged, or refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tunesmith_library_testing.parts import logged

torch = pytest.importorskip("torch")

ANSWER = "I am the tiny model of a test."
QUANTIZERS: dict[str, dict[str, Any]] = {
    "nf4": {"name": "bitsandbytes"},
    "hqq4": {"name": "hqq"},
    "int8": {"name": "torchao"},
    "gptq4": {"name": "gptq", "group_size": 32},
    "awq4": {"name": "awq", "group_size": 32},
    "fp4": {"name": "bitsandbytes", "quant_type": "fp4", "double_quant": False},
    "bnb8": {"name": "bitsandbytes", "bits": 8},
    "hqq8": {"name": "hqq", "bits": 8},
    "hqq3": {"name": "hqq", "bits": 3, "group_size": 32},
    "hqq2": {"name": "hqq", "bits": 2, "axis": 0},
    "hqq1": {"name": "hqq", "bits": 1, "group_size": 8},
    "float8": {"name": "torchao", "scheme": "float8_weight_only"},
    "intx4": {"name": "torchao", "scheme": "intx_weight_only"},
    "qat4": {"name": "torchao", "scheme": "int8_dynamic_intx", "qat": True},
    "qat2": {"name": "torchao", "scheme": "intx_weight_only", "bits": 2, "qat": True},
    "gptq3": {"name": "gptq", "bits": 3, "group_size": 32, "sym": False, "desc_act": True},
    "awq2": {"name": "awq", "bits": 2, "group_size": 32},
}
QUICK = ("nf4", "hqq4")


def each(*names: str) -> list[Any]:
    """Quantizers as parameters of tests; the quick ones always, the others with the slow tests."""
    return [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in names or QUANTIZERS]


def configuration(folder: Path, model: Path, quantizer: str, **changes: Any) -> dict[str, Any]:
    """A LoRA run of 24 steps over a quantised tiny model, evaluated every 8 steps."""
    data = folder / "train.json"
    data.write_text(json.dumps([{"instruction": f"Who are you, {n}?", "output": ANSWER} for n in range(10)]))
    config = {
        "model": {"path": str(model)},
        "template": "chatml",
        "data": {"train": [str(data)], "val_size": 2, "cache": False},
        "quantizer": QUANTIZERS[quantizer],
        "adapter": {"name": "lora", "rank": 16, "target_modules": ["all", "lm_head"]},
        "precision": "fp32",
        "tracker": ["jsonl"],
        "output_dir": str(folder / "out"),
        "trainer": {
            "max_steps": 24,
            "per_device_train_batch_size": 4,
            "learning_rate": 2e-2,
            "logging_steps": 1,
            "save_strategy": "no",
            "eval_strategy": "steps",
            "eval_steps": 8,
        },
    }
    return {**config, **{key: {**config.get(key, {}), **value} for key, value in changes.items()}}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Any:
    """Runs by quantizer, each trained once."""
    import tunesmith

    trained: dict[str, Path] = {}

    def run(quantizer: str) -> Path:
        if quantizer not in trained:
            trained[quantizer] = tunesmith.train(
                configuration(tmp_path_factory.mktemp(quantizer), tiny_llama, quantizer)
            )
        return trained[quantizer]

    return run


def loaded(run: Path, overrides: dict[str, Any] | None = None) -> Any:
    """The model of a run, as `chat` loads it."""
    import tunesmith

    return tunesmith.ChatSession(run, overrides)._handle.load().eval()


def by_hand(model: Path, adapter: Path) -> Any:
    """The adapter on the base in float32, by transformers and peft alone."""
    from peft import PeftModel
    from tunesmith_library_testing.parts import load_plain

    return PeftModel.from_pretrained(load_plain(model), adapter)


def weights(run: Path) -> dict[str, Any]:
    """What a run saved, by name."""
    from safetensors.torch import load_file

    return load_file(run / "adapter_model.safetensors")


@pytest.mark.parametrize("quantizer", each())
def test_training_and_loading_again(runs: Any, tiny_llama: Path, tiny_bpe: Any, quantizer: str) -> None:
    """The loss falls; a loaded run gives the same logits every time, and the loss that training last measured."""
    from tunesmith_library_testing.parts import logits_of

    run = runs(quantizer)
    losses = logged(run, "loss")
    assert len(losses) >= 20 and losses[-1] < 0.5 * losses[0]
    assert all(weight.any() for weight in weights(run).values()), "a layer has learned nothing"
    first, second = (logits_of(loaded(run), tiny_bpe) for _ in range(2))
    assert torch.equal(first, second)
    plain = logits_of(by_hand(tiny_llama, run), tiny_bpe)
    assert not torch.equal(first, plain), "the base was not quantised"

    model, (_, data) = loaded(run), _shown(run)
    batch = _batch(next(iter(data.eval.values())))
    with torch.no_grad():
        logits = (
            model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1].flatten(0, 1)
        )
    loss = torch.nn.functional.cross_entropy(logits, batch["labels"][:, 1:].flatten())
    # 8-bit activations are rounded with scales that depend on how examples share a batch
    assert loss.item() == pytest.approx(logged(run, "eval_loss")[-1], rel=2e-3 if quantizer == "bnb8" else 1e-5)


def _shown(run: Path) -> Any:
    import tunesmith

    return tunesmith.show(run)


def _batch(examples: Any) -> dict[str, Any]:
    from tunesmith_library_testing.parts import collate

    return collate([examples[index] for index in range(len(examples))])


@pytest.mark.parametrize("quantizer", each("nf4", "hqq4", "int8", "gptq4", "bnb8", "float8", "intx4", "qat4"))
def test_evaluations_do_not_change_what_is_trained(runs: Any, tmp_path: Path, tiny_llama: Path, quantizer: str) -> None:
    """Some layers rearrange their weights when they are evaluated; training goes on as if they had not been."""
    import tunesmith

    config = configuration(tmp_path, tiny_llama, quantizer, trainer={"eval_strategy": "no"})
    evaluated, alone = weights(runs(quantizer)), weights(tunesmith.train(config))
    assert evaluated.keys() == alone.keys()
    assert all(torch.equal(evaluated[name], alone[name]) for name in alone)


@pytest.mark.slow
@pytest.mark.parametrize("quantizer", ["nf4", "bnb8", "hqq4", "int8", "float8", "gptq4", "awq4", "intx4", "qat4"])
def test_an_interrupted_run_continues_as_if_it_had_not_been(tmp_path: Path, tiny_llama: Path, quantizer: str) -> None:
    """From the checkpoint in the middle, over a base that was quantised anew, to the same weights."""
    import tunesmith

    save = {"save_strategy": "steps", "save_steps": 12}
    run = tunesmith.train(configuration(tmp_path, tiny_llama, quantizer, trainer=save))
    whole = weights(run)
    shutil.rmtree(run / "checkpoint-24")
    (run / "adapter_model.safetensors").unlink()
    (run / "adapter_config.json").unlink()
    again = weights(tunesmith.train(run, {"resume": True}))
    assert all(torch.equal(again[name], weight) for name, weight in whole.items())


@pytest.mark.parametrize("quantizer", each("nf4", "hqq4", "int8", "gptq4", "awq4"))
def test_merging_into_the_base_that_was_not_quantised(
    runs: Any, tmp_path: Path, tiny_llama: Path, tiny_bpe: Any, quantizer: str
) -> None:
    """quantizer=null merges into the full weights; over quantised ones merging is refused, not done wrongly."""
    import tunesmith
    from tunesmith_library_testing.parts import load_plain, logits_of

    run = runs(quantizer)
    with pytest.raises(tunesmith.TunesmithError, match=r"(?s)cannot merge into .*quantizer=null"):
        tunesmith.export(run, output_dir=tmp_path / "refused")
    merged = tunesmith.export(run, {"quantizer": None}, output_dir=tmp_path / "merged")
    expected = logits_of(by_hand(tiny_llama, run), tiny_bpe)
    torch.testing.assert_close(logits_of(load_plain(merged), tiny_bpe), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "quantizer", ["nf4", "bnb8", "hqq4", "hqq2", "int8", "float8", "gptq4", "awq4", "intx4", "qat4"]
)
def test_in_bfloat16(tmp_path: Path, tiny_llama: Path, tiny_bpe: Any, quantizer: str) -> None:
    import tunesmith
    from tunesmith_library_testing.parts import logits_of

    run = tunesmith.train({**configuration(tmp_path, tiny_llama, quantizer), "precision": "bf16"})
    losses = logged(run, "loss")
    assert losses[-1] < 0.5 * losses[0]
    assert all(weight.any() for weight in weights(run).values()), "a layer has learned nothing"
    first, second = (logits_of(loaded(run), tiny_bpe) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.slow
@pytest.mark.parametrize("quantizer", ["nf4", "bnb8", "hqq4", "int8", "float8", "gptq4", "awq4", "intx4", "qat4"])
def test_oft(tmp_path: Path, tiny_llama: Path, tiny_bpe: Any, quantizer: str) -> None:
    import tunesmith
    from tunesmith_library_testing.parts import logits_of

    config = configuration(tmp_path, tiny_llama, quantizer)
    adapter = {"name": "oft", "block_size": 16, "modules_to_save": ["lm_head"]}
    run = tunesmith.train({**config, "adapter": adapter})
    losses = logged(run, "loss")
    assert losses[-1] < 0.5 * losses[0]
    assert all(weight.any() for weight in weights(run).values()), "a layer has learned nothing"
    first, second = (logits_of(loaded(run), tiny_bpe) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.slow
@pytest.mark.parametrize("quantizer", ["nf4", "hqq4", "hqq2", "int8", "float8", "gptq4", "awq4", "intx4"])
def test_dora(tmp_path: Path, tiny_llama: Path, tiny_bpe: Any, quantizer: str) -> None:
    import tunesmith
    from tunesmith_library_testing.parts import logits_of

    run = tunesmith.train(configuration(tmp_path, tiny_llama, quantizer, adapter={"use_dora": True}))
    losses = logged(run, "loss")
    assert losses[-1] < 0.5 * losses[0]
    assert all(weight.any() for weight in weights(run).values()), "a layer has learned nothing"
    first, second = (logits_of(loaded(run), tiny_bpe) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.slow
def test_served_with_rounded_inputs(runs: Any, tiny_bpe: Any) -> None:
    """A run trained over int8 weights is served by int8_dynamic, which cannot be trained over."""
    from tunesmith_library_testing.parts import logits_of

    trained = logits_of(loaded(runs("int8")), tiny_bpe)
    served = logits_of(loaded(runs("int8"), {"quantizer.scheme": "int8_dynamic"}), tiny_bpe)
    assert 0 < (served - trained).norm() < 0.05 * trained.norm()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"quantizer": {"name": "torchao", "scheme": "int8_dynamic"}}, "passes no gradient"),
        ({"quantizer": {"name": "bitsandbytes", "bits": 8}, "adapter.use_dora": True}, "trains the norms"),
        ({"quantizer": "hqq", "adapter.init": "orthogonal"}, "adapter.init=orthogonal"),
        ({"quantizer": "hqq", "adapter.init": "pissa"}, "quantizer=hqq rounds them"),
        ({"quantizer": "gptq", "adapter.init": "orthogonal"}, "adapter.init=orthogonal"),
        ({"quantizer": {"name": "awq", "group_size": 20}}, "quantizer.group_size=20"),
        ({"quantizer": "hqq", "adapter": "full"}, "adapter=full cannot train"),
        ({"quantizer": {"name": "hqq", "bits": 5}}, "quantizer.bits"),
    ],
)
def test_combinations_that_cannot_work_are_refused_beforehand(changes: dict[str, Any], message: str) -> None:
    import tunesmith

    _, problems = tunesmith.plan(None, {"model.path": "org/model", "data.train": ["rows.json"], **changes})
    assert any(message in problem.message for problem in problems), problems


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("bitsandbytes", "not saves; not calibrates"),
        ("hqq", "not saves; not calibrates"),
        ("torchao", "not saves; not calibrates"),
        ("gptq", "saves; calibrates"),
        ("awq", "saves; calibrates"),
    ],
)
def test_what_a_quantizer_can_do_is_data(name: str, stored: str) -> None:
    from click.testing import CliRunner
    from tunesmith.catalog import Catalog
    from tunesmith.cli import cli
    from tunesmith.traits import traits_of

    catalog = Catalog.discover()
    assert traits_of("quantizer", catalog.load(catalog.find("quantizer", name))).bits
    shown = CliRunner().invoke(cli, ["plugins", "show", f"quantizer.{name}"]).output
    assert "traits: bits" in shown and f"8; devices cpu, cuda; trains; not trains base; not merges; {stored}" in shown
