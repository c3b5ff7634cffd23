"""A run that went through and one that was cut short, for all tests that start from them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from short_runs import config_of, cut_short, trained


@dataclass(frozen=True)
class ShortRuns:
    """Runs of one configuration. Read only: copy a folder to change it."""

    config: dict[str, Any]
    whole: Path
    cut: Path


@pytest.fixture(scope="session")
def short_runs(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> ShortRuns:
    """SFT in eight steps; its model is a copy."""
    folder = tmp_path_factory.mktemp("short")
    model = Path(shutil.copytree(tiny_llama, folder / "model"))
    config = config_of("sft", model, folder / "data")
    config["trainer"] |= {"lr_scheduler_type": "linear", "warmup_steps": 0, "weight_decay": 0.5}
    return ShortRuns(config, trained(config, folder / "whole"), cut_short(config, folder / "cut"))
