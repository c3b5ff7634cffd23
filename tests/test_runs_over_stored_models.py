"""From run to run: what one run stored is the base of the next, with other plugins."""

import json
from pathlib import Path

import pytest
import torch
import tunesmith
from tunesmith import TunesmithError
from tunesmith_library_testing.parts import logged, logits_of


def configuration(folder: Path, model: Path, name: str) -> dict:
    """A LoRA run of 24 steps over a quantised model, the output head trained whole."""
    folder.mkdir()
    data = [{"instruction": f"Who are you, {n}?", "output": "I am the tiny model of a test."} for n in range(8)]
    (folder / "train.json").write_text(json.dumps(data))
    return {
        "model": {"path": str(model)},
        "template": "chatml",
        "data": {"train": [str(folder / "train.json")], "cache": False},
        "quantizer": {"name": name, "group_size": 32},
        "adapter": {"name": "lora", "modules_to_save": ["lm_head"]},
        "precision": "fp32",
        "tracker": ["jsonl"],
        "output_dir": str(folder / "out"),
        "trainer": {
            "max_steps": 24,
            "per_device_train_batch_size": 4,
            "learning_rate": 2e-2,
            "logging_steps": 1,
            "save_strategy": "no",
        },
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gptq", "awq"])
def test_a_stored_model_is_trained_over(tiny_llama: Path, tmp_path: Path, tiny_bpe, name: str) -> None:
    """The second run stores no base of its own, learns, and is loaded to the same logits every time."""
    first = tunesmith.train(configuration(tmp_path / "first", tiny_llama, name))
    second = tunesmith.train(configuration(tmp_path / "second", first / "quantized", name))
    assert (first / "quantized/model.safetensors").is_file() and not (second / "quantized").exists()
    losses = logged(second)
    assert len(losses) >= 20 and losses[-1] < 0.5 * losses[0]

    def load(run: Path, overrides: dict | None = None):
        return tunesmith.ChatSession(run, overrides)._handle.load()

    logits = [logits_of(load(second), tiny_bpe) for _ in range(2)]
    assert torch.equal(*logits)
    moved = {"model.path": str(first / "quantized")}
    if name == "awq":
        with pytest.raises(TunesmithError, match="scales in the norms"):
            load(first, moved)
    else:
        torch.testing.assert_close(logits_of(load(first, moved), tiny_bpe), logits_of(load(first), tiny_bpe))
