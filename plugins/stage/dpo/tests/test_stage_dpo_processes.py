"""Stages that learn from answers on two processes: the weights and what is logged are those of one process with twice
the batch, whatever the reference is computed by."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tunesmith_library_testing.parts import records

pytestmark = pytest.mark.slow

# name -> (options of the stage, adapter)
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "dpo": ({}, "lora"),
    "dpo-second-model": ({"rpo_alpha": 0.5, "bco_weight": 0.5}, "full"),
    "dpo-precomputed": ({"precompute_reference": True}, "lora"),
    "dpo-precomputed-full": ({"precompute_reference": True, "ld_alpha": 0.5}, "full"),
    "kto-precomputed": ({"precompute_reference": True}, "lora"),
    "orpo": ({}, "full"),
    "simpo": ({}, "lora"),
}


def rows(stage: str) -> list[dict[str, Any]]:
    """Answers of very different lengths, so that the processes count different numbers of tokens."""
    found = []
    for number in range(30):
        question, long, short = f"Say {number}.", f"The tide turns {number} times. " * (1 + number % 5), f"No {number}."
        if stage == "kto":
            found.append({"instruction": question, "output": long, "kto_tag": number % 3 == 0})
        else:
            found.append({"instruction": question, "chosen": long, "rejected": short})
    return found


def train_on_two(config: dict[str, Any], folder: Path) -> Path:
    """Run the command line under torchrun, as a user does."""
    (folder / "config.yaml").write_text(json.dumps(config))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone"]
    command = [*launcher, "-m", "tunesmith", "train", str(folder / "config.yaml")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(config["output_dir"])


def progress(run: Path, stage: str) -> list[dict[str, float]]:
    """What was told of steps and evaluations and does not depend on the machine.

    Of kto the loss alone: its other metrics are means over a side of a process's batch.
    """
    events = records(run)
    names = ("loss", "eval_loss", "grad_norm")
    names += () if stage == "kto" else ("rewards/", "logps/", "nll_loss", "eval_")
    return [
        {name: value for name, value in event.items() if name.startswith(names)}
        for event in events
        if "loss" in event or "eval_loss" in event
    ]


@pytest.mark.parametrize("case", CASES)
def test_two_processes_equal_twice_the_batch(case: str, tiny_llama: Path, tmp_path: Path) -> None:
    import tunesmith
    from safetensors.torch import load_file

    stage = case.partition("-")[0]
    options, adapter = CASES[case]
    (tmp_path / "train.json").write_text(json.dumps(rows(stage)))
    runs = []
    for processes in (1, 2):
        config = {
            "model": {"path": str(tiny_llama)},
            "template": "chatml",
            "data": {"train": [str(tmp_path / "train.json")], "val_size": 5, "cache": False},
            "stage": {"name": stage, **options},
            "adapter": {"name": "lora", "rank": 4, "modules_to_save": ["lm_head"]} if adapter == "lora" else "full",
            "tracker": ["jsonl"],
            "precision": "fp32",
            "output_dir": str(tmp_path / f"out-{processes}"),
            "trainer": {
                "max_steps": 3,
                "per_device_train_batch_size": 4 // processes,
                "per_device_eval_batch_size": 2,
                "learning_rate": 1e-3,
                "optim": "adamw_torch",
                "logging_steps": 1,
                "save_strategy": "no",
                "eval_strategy": "steps",
                "eval_steps": 3,
                "use_cpu": True,
            },
        }
        runs.append(tunesmith.train(config) if processes == 1 else train_on_two(config, tmp_path))
    one, two = (load_file(next(run.glob("*.safetensors"))) for run in runs)
    assert one.keys() == two.keys()
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < 2e-5
    told = [progress(run, stage) for run in runs]
    assert len(told[0]) == len(told[1]) == 4
    for alone, together in zip(*told, strict=True):
        assert alone == pytest.approx(together, rel=1e-4, abs=1e-4)
    assert len({json.dumps(entry) for entry in told[0]}) == 4
