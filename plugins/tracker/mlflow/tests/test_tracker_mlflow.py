"""What needs no program; runs that it keeps are in `test_tracker_mlflow_running`."""

from __future__ import annotations

import importlib.util

import pytest
from tunesmith_library_testing.suites.plugin import PluginSuite
from tunesmith_tracker_mlflow import MLflow


class TestMLflow(PluginSuite):
    kind = "tracker"
    plugin = MLflow


def test_says_that_mlflow_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    (problem,) = MLflow().check(plan=None)  # type: ignore[arg-type]
    assert problem.key == "tracker.mlflow" and "tunesmith-tracker-mlflow[program]" in problem.advice
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert MLflow().check(plan=None) == []  # type: ignore[arg-type]
