"""`tunesmith plan` as a user types it: figures for a machine that was named, whether a run fits, what makes it fit."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tunesmith.cli import cli
from tunesmith.cli.running import run

# Qwen2.5-7B's numbers
SEVEN = {
    "model_type": "qwen2",
    "architectures": ["Qwen2ForCausalLM"],
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A run of a model of 7B of which there is a config.json and nothing else."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Path("seven").mkdir()
    Path("seven/config.json").write_text(json.dumps(SEVEN))
    rows = [{"instruction": "Who are you?", "output": "A test. " * 600}] * 200  # as long as may be
    Path("train.json").write_text(json.dumps(rows))
    return ["model.path=seven", "data.train=train.json", "template=qwen", "precision=bf16"]


def planned(*words: str) -> Result:
    return CliRunner().invoke(cli, ["plan", *words])


def figures(*words: str) -> dict[str, Any]:
    found = planned("--json", *words)
    assert found.exit_code == 0, found.output
    told: dict[str, Any] = json.loads(found.stdout)
    return told


def test_it_says_whether_a_run_fits(words: list[str]) -> None:
    """LoRA of a 7B in 24 GB, at a batch of one; all weights do not, by far; on 8 cards with FSDP they do."""
    one = [*words, "trainer.per_device_train_batch_size=1"]
    small = figures(*one, "--gpu", "rtx4090")
    assert small["fits"] and small["machine"] == "RTX 4090" and small["parameters"] > 7.6e9
    assert 14.2 < small["memory"]["load"]["weights"] / 2**30 < 14.3
    assert re.fullmatch(r"fits in 24 GB: peak \d\d\.\d GB, .* less than may be filled.*", small["conclusion"])
    full = figures(*one, "adapter=full", "--gpu", "rtx4090")
    assert not full["fits"] and full["conclusion"].startswith("does not fit in 24 GB: peak 1")
    eight = ["parallel=fsdp", "parallel.processes=8", "output_dir=out", "trainer.gradient_checkpointing=true"]
    spread = figures(*one, "adapter=full", *eight, "--gpu", "h100x8")
    assert spread["fits"] and spread["peak"]["bytes"] < full["peak"]["bytes"] / 3


def test_what_is_advised_fits_when_it_is_typed(words: list[str]) -> None:
    """Every change that the plan names is a line of overrides: typed, the run fits, and needs what was said."""
    tight = [*words, "--gpu", "24gb"]
    before = figures(*tight)
    assert not before["fits"] and before["changes"]
    costs = [change["cost"] for change in before["changes"]]
    order = ["nothing", "time", "exactness", "method", "hardware"]
    assert costs == sorted(costs, key=order.index), "the cheapest first"
    assert any("quantizer=bitsandbytes" in change["overrides"] for change in before["changes"])
    for change in before["changes"][:3]:
        after = figures(*tight, *change["overrides"])
        assert after["fits"], change
        assert min(after["peak"]["bytes"], change["peak"]) <= change["peak"] * 1.001


def test_the_text_ends_with_the_conclusion(words: list[str]) -> None:
    text = planned(*words, "--gpu", "80gb", "trainer.per_device_train_batch_size=1").output
    assert "\n# what it needs (estimated), on " in text
    assert re.search(r"\nfits in 80 GB: peak .* less than may be filled", text)


def test_machines_that_are_not_known_are_refused_at_once(words: list[str]) -> None:
    found = planned(*words, "--gpu", "rtx4099")
    assert found.exit_code != 0 and "rtx4090" in str(found.exception) and "model" not in found.stdout
    assert "two machines" in str(planned(*words, "--gpu", "h100", "--cpu").exception)


def test_problems_are_in_the_json_too(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", "--json", *words, "adapter=loro"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert told["problems"][0]["key"] == "adapter.name" and "peak" not in told
