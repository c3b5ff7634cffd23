"""KTO on real marked answers: desirable ones are rewarded above undesirable ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tunesmith_library_testing.parts import records
from tunesmith_library_testing.tiny import save_tiny_model, tiny_tokenizer

pytestmark = [pytest.mark.real, pytest.mark.slow]


def test_rewards_what_is_marked_desirable(real_files: Path, tmp_path: Path) -> None:
    """After four passes over 64 answers, their rewards are apart, and most are on their side of the baseline."""
    import tunesmith

    rows = json.loads((real_files / "data" / "kto_en_demo.json").read_text(encoding="utf-8"))
    rows = [row for row in rows if sum(len(turn["content"]) for turn in row["messages"][:-1]) < 400][:64]
    assert 20 < sum(row["label"] for row in rows) < 44, "both kinds of answers are there"
    file = tmp_path / "marked.json"
    file.write_text(json.dumps(rows))
    texts = (row["messages"][-1]["content"] for row in rows)
    model = save_tiny_model(tmp_path / "model", tokenizer=tiny_tokenizer(texts, vocab_size=1500))
    folder = tunesmith.train(
        {
            "model": {"path": str(model)},
            "template": "chatml",
            "data": {"train": [str(file)], "eval": [{"path": str(file), "name": "same"}], "cache": False},
            "stage": {"name": "kto", "max_length": 160},
            "adapter": "full",
            "tracker": ["jsonl"],
            "precision": "fp32",
            "output_dir": str(tmp_path / "out"),
            "trainer": {
                "num_train_epochs": 4,
                "per_device_train_batch_size": 8,
                "learning_rate": 2e-3,
                "save_strategy": "no",
                "logging_steps": 1,
                "eval_strategy": "epoch",
            },
        }
    )
    events = records(folder)
    first = next(event for event in events if "loss" in event)
    assert first["loss"] == pytest.approx(0.5, abs=1e-3), "at the reference every loss is a half"
    last = [event for event in events if "eval_loss" in event][-1]
    (margin,) = {value for name, value in last.items() if name.endswith("rewards/margins")}
    (accuracy,) = {value for name, value in last.items() if name.endswith("rewards/accuracies")}
    assert margin > 0.5 and accuracy > 0.7 and last["eval_loss"] < 0.45
