"""What needs no program; runs that it keeps are in `test_tracker_wandb_running`."""

from __future__ import annotations

import importlib.util

import pytest
from tunesmith_library_testing.suites.plugin import PluginSuite
from tunesmith_tracker_wandb import WandB


class TestWandB(PluginSuite):
    kind = "tracker"
    plugin = WandB


def test_says_that_wandb_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    (problem,) = WandB().check(plan=None)  # type: ignore[arg-type]
    assert problem.key == "tracker.wandb" and "tunesmith-tracker-wandb[program]" in problem.advice
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert WandB().check(plan=None) == []  # type: ignore[arg-type]
