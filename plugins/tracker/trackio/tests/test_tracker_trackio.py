"""What needs no program; runs that it keeps are in `test_tracker_trackio_running`."""

from __future__ import annotations

import importlib.util

import pytest
from tunesmith_library_testing.suites.plugin import PluginSuite
from tunesmith_tracker_trackio import Trackio


class TestTrackio(PluginSuite):
    kind = "tracker"
    plugin = Trackio


def test_says_that_trackio_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    (problem,) = Trackio().check(plan=None)  # type: ignore[arg-type]
    assert problem.key == "tracker.trackio" and "tunesmith-tracker-trackio[program]" in problem.advice
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert Trackio().check(plan=None) == []  # type: ignore[arg-type]
