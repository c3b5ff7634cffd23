"""Stages that learn from answers, over two training sets: the loss and the counts of each are logged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tunesmith
from tunesmith_library_testing.parts import records


def pair(number: int, answer: str) -> dict[str, Any]:
    return {"instruction": f"Say {number}.", "chosen": answer, "rejected": "no" * (number % 3 + 1)}


def labelled(number: int, answer: str) -> dict[str, Any]:
    return {"instruction": f"Say {number}.", "output": answer, "label": number % 2 == 0}


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "row"), [("dpo", pair), ("kto", labelled), ("reward", pair), ("simpo", pair)])
def test_losses_and_counts(stage: str, row: Any, tiny_llama: Path, tmp_path: Path) -> None:
    """One epoch of 12 and 20 examples in steps of 4: each is counted once, and the losses of both make the loss."""
    for name, count in (("tides", 12), ("whales", 20)):
        rows = [row(number, f"{name} {number}") for number in range(count)]
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))
    folder = tunesmith.train(
        {
            "model": {"path": str(tiny_llama)},
            "template": "chatml",
            "data": {"train": [str(tmp_path / f"{name}.json") for name in ("tides", "whales")], "cache": False},
            "stage": {"name": stage, "max_length": 128},
            "adapter": "lora",
            "tracker": ["jsonl"],
            "precision": "fp32",
            "output_dir": str(tmp_path / "out"),
            "trainer": {
                "num_train_epochs": 1,
                "per_device_train_batch_size": 2,
                "gradient_accumulation_steps": 2,
                "logging_steps": 1,
                "save_strategy": "no",
            },
        }
    )
    steps = [event for event in records(folder) if "loss" in event]
    assert (steps[-1]["examples_of_tides"], steps[-1]["examples_of_whales"]) == (12, 20)
    before = {"tides": 0.0, "whales": 0.0}
    for step in steps:
        now = {name: step.get(f"examples_of_{name}", 0.0) for name in before}
        own = {name: now[name] - before[name] for name in now}
        assert sum(own.values()) == 4 and all((own[name] > 0) == (f"loss_{name}" in step) for name in own)
        mean = sum(own[name] * step[f"loss_{name}"] for name in own if own[name]) / 4
        assert mean == pytest.approx(step["loss"], rel=1e-4, abs=1e-5)
        before = now
