"""Runs of eight steps that are cut short, and what says that a resumed one is the uninterrupted one."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from test_optimizers import interrupting_at
from test_resume import STEPS, configuration

CUT = 5
"""The step at which `cut_short` ends, with a checkpoint there beside those of every second step."""


def config_of(case: str, model: Path, folder: Path) -> dict[str, Any]:
    """A run of `test_resume`, with a checkpoint at every second step.

    Args:
        case: such as `sft`, `dpo`, `ppo`.
        folder: for its data, which is made; runs of one folder have the same.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = configuration(case, model, folder)
    options = {"save_steps": 2, "save_total_limit": None}
    if case.startswith("ppo"):
        config["stage"].update(options)
    else:
        config["trainer"].update(options)
    return config


def trained(config: dict[str, Any], folder: Path, **more: Any) -> Path:
    """Train into a folder."""
    import tunesmith

    return tunesmith.train(None, {**config, "output_dir": str(folder), **more})


def cut_short(config: dict[str, Any], folder: Path) -> Path:
    """Train until an interruption, which the loop sees at the end of step `CUT`."""
    import tunesmith

    try:
        interrupted = {**config, "output_dir": str(folder), "tracker": ["jsonl", "impatient"]}
        tunesmith.train(None, interrupted, catalog=interrupting_at(CUT - 1))
    except KeyboardInterrupt:
        return folder
    raise AssertionError("the run was not interrupted")


def bits(folder: Path) -> dict[str, str]:
    """What was trained: the weights files of a run's folder by name, as digests."""
    found = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.glob("*.safetensors")}
    assert found, f"{folder} holds no result"
    return found


def left_behind(folder: Path) -> list[str]:
    """What no finished run leaves: locks and half-written folders, there and beside it."""
    hidden = [*folder.rglob(".*"), *folder.parent.glob(".*")]
    return sorted(str(path) for path in (*hidden, *folder.rglob("*.lock")) if path.name != "plugins.lock")


__all__ = ["CUT", "STEPS", "bits", "config_of", "cut_short", "left_behind", "trained"]
