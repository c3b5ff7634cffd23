"""metrics.jsonl as a reader finds it, also after a kill and a resumption."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tunesmith.types import Evaluated, RunEnded, RunStarted, StepEnded
from tunesmith_library_testing import TrackerSuite
from tunesmith_tracker_jsonl import Jsonl


class TestJsonl(TrackerSuite):
    plugin = Jsonl
    writes = ("metrics.jsonl",)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_line_per_logged_event_at_once(tmp_path: Path) -> None:
    """Steps that are not logged leave no line; each line is in the file before the next event."""
    tracker = Jsonl()
    tracker.on_event(RunStarted(tmp_path, 4, {}))
    tracker.on_event(StepEnded(1, 4, 0.25, {}))
    assert lines(tmp_path) == []
    tracker.on_event(StepEnded(2, 4, 0.5, {"loss": 1.5}))
    (line,) = lines(tmp_path)
    assert line.pop("time") > 1.6e9
    assert line == {"event": "step", "step": 2, "total_steps": 4, "epoch": 0.5, "loss": 1.5}
    tracker.on_event(Evaluated(2, {"eval_loss": 2.0}))
    assert lines(tmp_path)[1]["eval_loss"] == 2.0
    tracker.on_event(RunEnded("finished"))


def test_resumed_run_drops_what_was_lost(tmp_path: Path) -> None:
    """Lines past the checkpoint and half a line go; each step stands in the file once, in order."""
    killed = Jsonl()
    killed.on_event(RunStarted(tmp_path, 6, {}))
    for step in (1, 2, 3, 4):
        killed.on_event(StepEnded(step, 6, step / 6, {"loss": 1.0}))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"event": "step", "st')
    resumed = Jsonl()
    resumed.on_event(RunStarted(tmp_path, 6, {}, resumed_from=2))
    assert [line["step"] for line in lines(tmp_path)] == [1, 2]
    for step in (3, 4):
        resumed.on_event(StepEnded(step, 6, step / 6, {"loss": 0.5}))
    assert [(line["step"], line["loss"]) for line in lines(tmp_path)] == [(1, 1.0), (2, 1.0), (3, 0.5), (4, 0.5)]


def test_the_first_line_of_a_resumed_run_says_when_it_went_on(tmp_path: Path) -> None:
    """So that the time in which it was stopped can be told from the time in which it trained."""
    first, resumed = Jsonl(), Jsonl()
    first.on_event(RunStarted(tmp_path, 4, {}))
    first.on_event(StepEnded(1, 4, 0.25, {"loss": 1.0}))
    resumed.on_event(RunStarted(tmp_path, 4, {}, resumed_from=1))
    for step in (2, 3):
        resumed.on_event(StepEnded(step, 4, step / 4, {"loss": 1.0}))
    one, two, three = lines(tmp_path)
    assert one["time"] <= two["resumed_at"] <= two["time"]
    assert "resumed_at" not in {**one, **three}


def test_new_run_starts_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    Jsonl().on_event(RunStarted(tmp_path, 1, {}))
    assert lines(tmp_path) == []


def test_nan_is_valid_json(tmp_path: Path) -> None:
    tracker = Jsonl()
    tracker.on_event(RunStarted(tmp_path, 1, {}))
    tracker.on_event(StepEnded(1, 1, 1.0, {"loss": float("nan"), "grad_norm": float("inf")}))
    text = (tmp_path / "metrics.jsonl").read_text()
    assert "NaN" not in text and "Infinity" not in text
    assert json.loads(text)["loss"] is None


def test_says_where_its_record_is() -> None:
    assert Jsonl(filename="numbers.jsonl").traits.metrics_file == "numbers.jsonl"
