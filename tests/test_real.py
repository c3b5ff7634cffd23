"""Real data and real tokenizers on the whole road: what is trained, what the viewer shows, and that padding-free
training has the loss of padded training."""

import json
from pathlib import Path

import pytest
from tunesmith_library_testing.parts import logged

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.real

TURN_END = {"llama3": "<|eot_id|>", "qwen": "<|im_end|>"}
TEMPLATES = {"llama3": "llama3", "qwen": "qwen3_nothink"}


@pytest.fixture(scope="module", params=sorted(TEMPLATES))
def setup(
    request: pytest.FixtureRequest, real_files: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, dict]:
    """A tiny Llama with a real tokenizer, and a configuration for the two real data sets."""
    from transformers import AutoTokenizer
    from tunesmith_library_testing.tiny import save_tiny_model

    name = request.param
    folder = tmp_path_factory.mktemp(name)
    tokenizer = AutoTokenizer.from_pretrained(real_files / "tokenizers" / name)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    save_tiny_model(folder / "model", hidden_size=32, tokenizer=tokenizer)
    config = {
        "model": {"path": str(folder / "model")},
        "template": TEMPLATES[name],
        "data": {
            "train": [
                {"path": str(real_files / "data" / "alpaca_en_demo.json"), "max_samples": 40},
                {"path": str(real_files / "data" / "identity.json"), "max_samples": 20},
            ],
            "cache": False,
        },
        "stage": {"name": "sft", "max_length": 512},
        "precision": "fp32",
    }
    return name, config


def test_the_answers_and_nothing_else_are_trained(setup: tuple[str, dict], real_files: Path) -> None:
    import tunesmith.pipeline

    name, config = setup
    tokenizer, splits = tunesmith.show(config)
    answers = {
        row["output"]
        for file in ("alpaca_en_demo.json", "identity.json")
        for row in json.loads((real_files / "data" / file).read_text(encoding="utf-8"))
    }
    for index in range(len(splits.train)):
        example = splits.train[index]
        labels = [int(label) for label in example["labels"] if label != -100]
        trained = tokenizer.decode(labels)
        if len(example["input_ids"]) < 512:
            assert trained.endswith(TURN_END[name])
            assert trained.removesuffix(TURN_END[name]) in answers
        else:  # cut at the maximum length
            assert any(answer.startswith(trained) for answer in answers)


def test_the_viewer_marks_the_trained_tokens(setup: tuple[str, dict], tmp_path: Path) -> None:
    import yaml
    from click.testing import CliRunner
    from tunesmith.cli import cli

    name, config = setup
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    shown = CliRunner().invoke(cli, ["--quiet", "data", "show", str(tmp_path / "run.yaml"), "-n", "60"])
    assert shown.exit_code == 0, shown.output
    marked = shown.output.replace("\n", " ")
    greeting = "Hello! I am {{name}}, an AI assistant developed by {{author}}. How can I assist you today?"
    assert f"⟦{greeting}{TURN_END[name]}⟧" in marked
    assert "⟦Describe a process" not in marked
    assert "Describe a process of making crepes." in marked


@pytest.mark.slow
def test_training_runs_and_padding_changes_nothing(setup: tuple[str, dict], tmp_path: Path) -> None:
    import tunesmith

    _, config = setup
    losses = {}
    for padding_free in (True, False):
        folder = tunesmith.train(
            {
                **config,
                "output_dir": str(tmp_path / f"padding-free-{padding_free}"),
                "tracker": ["jsonl"],
                "trainer": {
                    "max_steps": 6,
                    "per_device_train_batch_size": 8,
                    "padding_free": padding_free,
                    "logging_steps": 1,
                    "learning_rate": 1e-3,
                    "save_strategy": "no",
                },
            }
        )
        losses[padding_free] = logged(folder)
    assert len(losses[True]) == 6
    assert losses[True] == pytest.approx(losses[False], abs=2e-4)
