"""DPO on real pairs: what is learned from some of them holds for others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tunesmith_library_testing.parts import records
from tunesmith_library_testing.tiny import save_tiny_model, tiny_tokenizer

pytestmark = [pytest.mark.real, pytest.mark.slow]


def test_prefers_answers_it_has_not_seen(real_files: Path, tmp_path: Path) -> None:
    """A tiny model, trained on 88 pairs with short prompts, ranks most of 30 others as people did."""
    import tunesmith

    pairs = json.loads((real_files / "data" / "dpo_en_demo.json").read_text(encoding="utf-8"))
    pairs = [pair for pair in pairs if sum(len(turn["value"]) for turn in pair["conversations"]) < 400]
    for name, some in (("held", pairs[::4]), ("train", [pair for number, pair in enumerate(pairs) if number % 4])):
        (tmp_path / f"{name}.json").write_text(json.dumps(some))
    texts = (pair[name]["value"] for pair in pairs for name in ("chosen", "rejected"))
    model = save_tiny_model(tmp_path / "model", tokenizer=tiny_tokenizer(texts, vocab_size=1500))
    entries = {name: [{"path": str(tmp_path / f"{name}.json"), "format": "sharegpt"}] for name in ("train", "held")}
    folder = tunesmith.train(
        {
            "model": {"path": str(model)},
            "template": "chatml",
            "data": {"train": entries["train"], "eval": entries["held"], "cache": False},
            "stage": {"name": "dpo", "max_length": 192, "precompute_reference": True},
            "adapter": "full",
            "tracker": ["jsonl"],
            "precision": "fp32",
            "output_dir": str(tmp_path / "out"),
            "trainer": {
                "num_train_epochs": 2,
                "per_device_train_batch_size": 8,
                "learning_rate": 2e-3,
                "save_strategy": "no",
                "eval_strategy": "epoch",
            },
        }
    )
    events = records(folder)
    last = [event for event in events if "eval_loss" in event][-1]
    assert last["eval_held_rewards/accuracies"] > 0.65
    assert last["eval_held_rewards/margins"] > 0.15 and last["eval_loss"] < 0.65
