"""What needs no program; runs that it keeps are in `test_tracker_swanlab_running`."""

from __future__ import annotations

import importlib.util

import pytest
from tunesmith_library_testing.suites.plugin import PluginSuite
from tunesmith_tracker_swanlab import SwanLab


class TestSwanLab(PluginSuite):
    kind = "tracker"
    plugin = SwanLab


def test_says_that_swanlab_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    (problem,) = SwanLab().check(plan=None)  # type: ignore[arg-type]
    assert problem.key == "tracker.swanlab" and "tunesmith-tracker-swanlab[program]" in problem.advice
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert SwanLab().check(plan=None) == []  # type: ignore[arg-type]
