"""Several processes train as one with the same examples in a step, and go on with each other's checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tunesmith_library_testing import several
from tunesmith_library_testing.parts import records

UNEVEN: dict[str, Any] = {"rows": 9, "max_steps": -1, "num_train_epochs": 2.0}
"""Nine examples in steps of eight: the last one of an epoch has one, and three of four processes none."""

GOING_ON: dict[str, Any] = {
    "rows": 22,
    "lr_scheduler_type": "constant",
    "warmup_steps": 0,
    "save_strategy": "steps",
    "save_steps": 2,
}


def configs(model: Path, folder: Path, processes: int) -> dict[str, dict[str, Any]]:
    size: dict[str, Any] = {"per_device_train_batch_size": 8 // processes}
    kinds = [(stage, adapter) for stage in ("sft", "dpo") for adapter in ("full", "lora")]
    found = {
        f"{stage}-{adapter}": several.config_of(
            model, folder, f"{stage}-{adapter}-{processes}", stage=stage, adapter=adapter, **size
        )
        for stage, adapter in kinds
    }
    return found | {"uneven": several.config_of(model, folder, f"uneven-{processes}", **UNEVEN, **size)}


@pytest.mark.slow
def test_two_and_four_processes_train_as_one(tiny_llama: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    one = several.trained(configs(tiny_llama, tmp_path, 1), tmp_path)
    for processes in (2, 4):
        others = several.trained(configs(tiny_llama, tmp_path, processes), tmp_path, processes=processes)
        for name, run in one.items():
            several.alike(run, others[name])
            told = [(line["epoch"], line["num_input_tokens_seen"]) for line in records(run.folder) if "loss" in line]
            same = [line for line in records(others[name].folder) if "loss" in line]
            assert [(line["epoch"], line["num_input_tokens_seen"]) for line in same] == told, name


def going_on(model: Path, folder: Path, name: str, size: int, steps: int) -> dict[str, Any]:
    config = several.config_of(model, folder, name, **GOING_ON, max_steps=steps, per_device_train_batch_size=size)
    return {**config, "resume": steps > 2}


@pytest.mark.slow
def test_a_run_goes_on_under_another_number_of_processes(tiny_llama: Path, tmp_path: Path) -> None:
    """After two of the three steps of an epoch: the other steps have the examples that they would have had."""
    whole = several.trained({"whole": {**going_on(tiny_llama, tmp_path, "whole", 8, 6), "resume": False}}, tmp_path)

    def train(processes: int, steps: int, **sizes: int) -> dict[str, several.Trained]:
        runs = {name: going_on(tiny_llama, tmp_path, name, size, steps) for name, size in sizes.items()}
        return several.trained(runs, tmp_path, processes=processes)

    train(1, 2, one_to_two=8, one_to_three=8)
    train(2, 2, two_to_one=4, two_to_three=4, two_to_smaller=4)
    found = train(1, 6, two_to_one=4) | train(2, 6, one_to_two=8, two_to_smaller=1)
    found |= train(3, 6, one_to_three=8, two_to_three=4)
    for run in found.values():
        several.alike(whole["whole"], run)
