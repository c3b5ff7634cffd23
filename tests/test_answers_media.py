"""Stages that learn from answers, of models that see, from a file of rows to a trained adapter."""

import json
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image
from tunesmith_library_testing.seeing import save_seeing_model

pytestmark = pytest.mark.slow

STAGES: dict[str, dict[str, Any]] = {
    "grpo": {"num_generations": 2, "max_completion_length": 4},
    "rloo": {"num_generations": 2, "max_completion_length": 4},
    "ppo": {"total_steps": 2, "batch_size": 2, "mini_batch_size": 1, "ppo_epochs": 1, "max_new_tokens": 4},
}

REWARD = """
def brief(prompts, completions, rows):
    for row in rows:
        with open("seen.jsonl", "a") as file:
            file.write(str(len(row.get("images", []))) + row["answer"] + "\\n")
    return [1.0 / (1 + len(completion)) for completion in completions]
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in: rows about one image, about two in several turns, and about none; and a reward."""
    monkeypatch.chdir(tmp_path)
    for number, size in enumerate([(40, 60), (56, 56)]):
        pixels = numpy.random.default_rng(number).integers(0, 255, (*size, 3), dtype=numpy.uint8)
        Image.fromarray(pixels).save(f"{number}.png")
    one = ([("user", "<image>What?"), ("assistant", "a")], ["0.png"])
    two = (
        [("user", "<image>?"), ("assistant", "Yes."), ("user", "And <image>?"), ("assistant", "b")],
        ["1.png", "0.png"],
    )
    none = ([("user", "Hello"), ("assistant", "c")], [])
    with open("rows.jsonl", "w") as file:
        for turns, images in (one, two, none, one):
            messages = [{"role": role, "content": content} for role, content in turns]
            file.write(json.dumps({"messages": messages, "images": images}) + "\n")
    Path("rewards.py").write_text(REWARD)
    return tmp_path


@pytest.mark.parametrize("stage", STAGES)
def test_a_file_of_rows_is_learned_from(stage: str, files: Path) -> None:
    import tunesmith

    loop = {} if stage == "ppo" else {"max_steps": 2, "per_device_train_batch_size": 2}
    run = tunesmith.train(
        {
            "model": {"path": str(save_seeing_model(files / "model", "qwen2_vl"))},
            "stage": {"name": stage, **STAGES[stage]},
            "data": {"train": ["rows.jsonl"], "cache": False},
            "reward": ["rewards.py:brief"],
            "adapter": {"name": "lora", "rank": 4},
            "tracker": {"jsonl": {}},
            "precision": "fp32",
            "output_dir": "out",
            "trainer": {"save_strategy": "no", "logging_steps": 1, **loop},
        }
    )
    assert (run / "adapter_model.safetensors").is_file()
    seen = set(Path("seen.jsonl").read_text().split())
    assert seen <= {"1a", "2b", "0c"} and len(seen) >= 2
    logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert any("reward" in line for line in logged)
