"""Traces as whoever opens them finds them: which steps and operations they hold."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from tunesmith.types import RunEnded, RunStarted, StepEnded
from tunesmith_library_testing import TrackerSuite
from tunesmith_tracker_profiler import Profiler


class TestPlugin(TrackerSuite):
    plugin = Profiler
    options = {"wait_steps": 0, "warmup_steps": 0, "repeat": 1}


def steps_and_products(file: Path) -> tuple[list[str], int]:
    """The steps that a trace holds, and how many products of matrices."""
    events = json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]
    steps = sorted({event["name"] for event in events if str(event.get("name")).startswith("ProfilerStep#")})
    return steps, sum(event.get("name") == "aten::mm" for event in events)


def run(tracker: Profiler, folder: Path, steps: int, before: int = 0) -> None:
    """A run of which step n computes n products."""
    import torch

    square = torch.eye(4)
    tracker.on_event(RunStarted(folder, steps, {}, before))
    for step in range(1 + before, steps + 1):
        for _ in range(step):
            square @ square
        tracker.on_event(StepEnded(step, steps, step / steps, {}))
    tracker.on_event(RunEnded("finished"))


def test_the_steps_of_a_trace_are_those_that_were_asked_for(tmp_path: Path) -> None:
    """One step is left out, one thrown away, two recorded: steps 3 and 4, with 3 + 4 products."""
    run(Profiler(wait_steps=1, warmup_steps=1, active_steps=2), tmp_path, 6)
    (file,) = (tmp_path / "profile").iterdir()
    assert file.name == "to-step-4.json.gz"
    assert steps_and_products(file) == (["ProfilerStep#2", "ProfilerStep#3"], 7)  # torch counts from 0


def test_traces_one_after_the_other_of_a_resumed_run(tmp_path: Path) -> None:
    """Steps 3 to 6 of a run that goes on after its second: every second one, to the end."""
    run(Profiler(wait_steps=1, warmup_steps=0, active_steps=1, repeat=0, folder="traces"), tmp_path, 6, before=2)
    found = {file.name: steps_and_products(file)[1] for file in (tmp_path / "traces").iterdir()}
    assert found == {"to-step-4.json.gz": 4, "to-step-6.json.gz": 6}


def test_a_run_that_ends_before_a_trace_leaves_none(tmp_path: Path) -> None:
    run(Profiler(wait_steps=5), tmp_path, 2)
    assert not (tmp_path / "profile").exists()
