"""Several training sets in one run: the loss of each is logged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tunesmith_library_testing.parts import records


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"stage.packing": True}, {"data.streaming": True}, {"loss": "eaft"}])
def test_the_road(tiny_llama: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    """Two sets in a run with accumulation: each logged step has a loss of each, which together make the loss."""
    import tunesmith

    files = {}
    for name, answer in (("tides", "The tide {} comes."), ("whales", "whale {} and 鲸鱼")):
        rows = [{"instruction": f"Say {n}.", "output": answer.format(n)} for n in range(24)]
        files[name] = tmp_path / f"{name}.json"
        files[name].write_text(json.dumps(rows))
    config = {
        "model": {"path": str(tiny_llama)},
        "template": "chatml",
        "data": {"train": [str(file) for file in files.values()], "cache": False},
        "stage": {"name": "sft", "max_length": 128},
        "adapter": {"name": "lora", "modules_to_save": ["lm_head"]},
        "tracker": ["jsonl"],
        "precision": "fp32",
        "output_dir": str(tmp_path / "out"),
        "trainer": {
            "max_steps": 20,
            "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": 2,
            "learning_rate": 1e-2,
            "logging_steps": 5,
            "save_strategy": "no",
        },
    }
    folder = tunesmith.train(config, changes)
    events = records(folder)
    steps = [event for event in events if "loss" in event]
    for name in files:
        course = [event[f"loss_{name}"] for event in steps if f"loss_{name}" in event]  # a step may have none of a set
        assert len(course) > 1 and course[-1] < course[0]
    assert sum(steps[-1][f"examples_of_{name}"] for name in files) == 80 or changes.get("stage.packing")
    for event in steps:
        both = [event[f"loss_{name}"] for name in files if f"loss_{name}" in event]
        assert min(both) - 1e-4 <= event["loss"] <= max(both) + 1e-4
