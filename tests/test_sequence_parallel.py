"""Processes that share their sequences train as one process does: the same losses, evaluations and weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tunesmith_library_testing.parts import records
from tunesmith_library_testing.several import Trained, alike, config_of, trained
from tunesmith_library_testing.tiny import save_tiny_mixture

EVALUATED: dict[str, Any] = {"eval_strategy": "steps", "eval_steps": 2, "per_device_eval_batch_size": 3}


def runs(model: Path, mixture: Path, folder: Path, batch: int) -> dict[str, dict[str, Any]]:
    """Configurations by name, of shares of `batch` examples in each step."""
    size = {"per_device_train_batch_size": batch}
    steps = {"per_device_train_batch_size": batch // 2, "gradient_accumulation_steps": 2}
    found = {
        "sft": config_of(model, folder, "sft", **size, **EVALUATED, gradient_checkpointing=True),
        "padded": config_of(model, folder, "padded", adapter="lora", **size, padding_free=False),
        "dpo": config_of(model, folder, "dpo", stage="dpo", adapter="lora", **steps),
        "packed": config_of(model, folder, "packed", **size),
        "mixture": config_of(mixture, folder, "mixture", **size),
    }
    found["sft"]["data"]["val_size"] = 8
    found["packed"]["stage"] = {"name": "sft", "packing": True, "max_length": 96}
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("processes", "parallel"),
    [
        (2, {"name": "ddp", "sequence": "ulysses"}),
        (2, {"name": "fsdp", "sequence": "ring"}),
        (4, {"name": "ddp", "sequence": "ring", "sequence_size": 2}),
    ],
    ids=["ulysses", "ring under fsdp", "two groups of two"],
)
def test_processes_that_share_sequences_train_as_one(
    tiny_llama: Path, one: dict[str, Trained], tmp_path: Path, processes: int, parallel: dict[str, Any], mixture: Path
) -> None:
    configs = runs(tiny_llama, mixture, tmp_path, batch=16 // processes)
    found = trained(configs, tmp_path, processes=processes, parallel=parallel)
    for name, alone in one.items():
        alike(alone, found[name])
        told = [_numbers(record) for record in records(found[name].folder)]
        assert told == [pytest.approx(_numbers(record), rel=1e-4) for record in records(alone.folder)], name


def _numbers(record: dict[str, Any]) -> dict[str, float]:
    """What was logged, but for times."""
    timed = ("per_second", "seconds", "time")
    return {
        name: value for name, value in record.items() if isinstance(value, int | float) and not name.endswith(timed)
    }


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_mixture(tmp_path_factory.mktemp("mixture") / "model", "qwen3_moe")


@pytest.fixture(scope="module")
def one(tiny_llama: Path, mixture: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trained]:
    folder = tmp_path_factory.mktemp("one")
    return trained(runs(tiny_llama, mixture, folder, batch=8), folder)
