"""run.json as a reader finds it: of whole, resumed, broken runs, and where nothing can be measured."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import tunesmith_tracker_record.meters as meters
from tunesmith.types import Evaluated, RunEnded, RunStarted, Saved, StepEnded
from tunesmith_library_testing import TrackerSuite
from tunesmith_tracker_record import Record
from tunesmith_tracker_record.clock import Clock


class TestRecord(TrackerSuite):
    plugin = Record
    writes = ("run.json",)


def written(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return found


def run(folder: Path, steps: range, status: str = "finished", resumed_from: int = 0) -> dict[str, Any]:
    record = Record()
    record.on_event(RunStarted(folder, 8, {}, resumed_from))
    for step in steps:
        record.on_event(StepEnded(step, 8, step / 8, {}))
    record.on_event(RunEnded(status))  # type: ignore[arg-type]
    return written(folder)


def test_a_step_is_one_without_pauses_and_not_the_first() -> None:
    """Steps of 2 s, the first of 9 s; an evaluation of 50 s, a batch of 30 tokens in each step."""
    times = iter([0.0, 4.0, *(13.0, 15.0, 17.0), 69.0, 71.0, 80.0])
    clock = Clock(now=lambda: next(times))
    clock.loads_no_longer()
    for _ in range(3):
        clock.meets(30)
        clock.step_ended()
    clock.was_interrupted()
    for _ in range(2):
        clock.meets(30)
        clock.step_ended()
    assert clock.loading == 4.0
    assert (clock.step, clock.seconds, clock.steps) == (2.0, [2.0, 2.0, 2.0], 5)
    assert clock.tokens_of_step == 30
    assert clock.training == 76.0


def test_a_step_is_as_long_as_its_tokens_on_average() -> None:
    """Steps of 10, 10 and 40 tokens at 0.1 s each token, and one that was disturbed: 0.1 s times 20 tokens."""
    times = iter([0.0, 1.0, 2.0, 3.0, 7.0, 17.0])
    clock = Clock(now=lambda: next(times))
    for tokens in (10, 10, 10, 40, 20):
        clock.meets(tokens)
        clock.step_ended()
    assert clock.seconds == [1.0, 1.0, 4.0, 10.0]
    assert clock.step == pytest.approx(0.1 * 20)


def test_resumed_runs_add_up(tmp_path: Path) -> None:
    """Steps and seconds of both parts; the higher memory of the two."""
    first = run(tmp_path, range(1, 4), "interrupted")
    first["measured"]["memory"]["peak"], first["measured"]["seconds"]["training"] = 1e15, 100.0
    (tmp_path / "run.json").write_text(json.dumps(first))
    both = run(tmp_path, range(4, 9), resumed_from=3)
    assert both["status"] == "finished"
    assert both["measured"]["steps"] == 8
    assert both["measured"]["parts"] == 2
    assert both["measured"]["memory"]["peak"] == 1e15
    assert both["measured"]["seconds"]["training"] >= 100.0
    anew = run(tmp_path, range(1, 3))
    assert (anew["measured"]["steps"], anew["measured"]["parts"]) == (2, 1), "a new run has forgotten the old one"


@pytest.mark.parametrize("damaged", ["", "[]", '{"measured": 1}', '{"measured": {"memory": 3}}'])
def test_a_damaged_record_is_written_anew(tmp_path: Path, damaged: str, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "run.json").write_text(damaged)
    assert run(tmp_path, range(4, 6), resumed_from=3)["measured"]["steps"] == 2


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells of a process's memory")
def test_measures_what_a_process_held_at_its_highest(tmp_path: Path) -> None:
    """200 MB that came and went again, within 20 MB; a run after it that takes nothing does not see them."""
    meter = meters.Meter()
    block = bytearray(200_000_000)
    del block
    peak = meter.taken().peak
    assert peak is not None
    assert 180e6 < peak < 220e6
    second = meters.Meter().taken().peak
    assert second is not None
    assert second < 20e6


def test_where_nothing_can_be_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without /proc memory is left out; a folder that cannot be written to is said once, and harms nothing."""
    monkeypatch.setattr(meters, "_PROCESS", tmp_path / "none")
    assert run(tmp_path, range(1, 3))["measured"]["memory"] == {}
    with caplog.at_level(logging.WARNING):
        record = Record()
        record.on_event(RunStarted(tmp_path / "run.json", 2, {}))
        record.on_event(StepEnded(1, 2, 0.5, {}))
        record.on_event(RunEnded("finished"))
        record.on_event(RunEnded("finished"))
    assert caplog.text.count("run.json is not complete") == 1


def test_pauses_do_not_count(tmp_path: Path) -> None:
    """A run with an evaluation and a checkpoint after each step has no step that is one alone."""
    record = Record()
    record.on_event(RunStarted(tmp_path, 2, {}))
    for step in (1, 2):
        record.on_event(StepEnded(step, 2, step / 2, {}))
        record.on_event(Evaluated(step, {"eval_loss": 1.0}))
        record.on_event(Saved(step, tmp_path))
    record.on_event(RunEnded("failed"))
    assert written(tmp_path)["status"] == "failed"
    assert written(tmp_path)["measured"]["seconds"]["step"] is None
