"""Tables as a spreadsheet finds them, also after a kill and a resumption."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from tunesmith.types import Evaluated, RunEnded, RunStarted, Saved, StepEnded
from tunesmith_library_testing import TrackerSuite
from tunesmith_tracker_csv import Csv


class TestCsv(TrackerSuite):
    plugin = Csv
    options = {"system_seconds": 0.0}
    writes = ("csv/metrics.csv", "csv/config.csv")


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def run(folder: Path, first: int, last: int, loss: float) -> None:
    tracker = Csv(system_seconds=0.0)
    tracker.on_event(RunStarted(folder, 6, {"trainer": {"learning_rate": 1e-4}}, first))
    for step in range(first + 1, last + 1):
        tracker.on_event(StepEnded(step, 6, step / 6, {"loss": loss}))
    tracker.on_event(RunEnded("interrupted"))


def test_a_metric_that_comes_later_gets_a_column(tmp_path: Path) -> None:
    tracker = Csv(system_seconds=3600.0)
    tracker.on_event(RunStarted(tmp_path, 2, {"a": {"b": 1}, "c": "x,y"}))
    tracker.on_event(StepEnded(1, 2, 0.5, {"loss": 1.5}))
    tracker.on_event(Evaluated(1, {"eval_loss": 2.0}))
    tracker.on_event(StepEnded(2, 2, 1.0, {"loss": float("nan")}))
    tracker.on_event(Saved(2, tmp_path))
    tracker.on_event(RunEnded("finished", {"train_loss": 1.25}))
    found = [(row["step"], row["train/loss"], row["eval/loss"]) for row in rows(tmp_path / "csv/metrics.csv")]
    assert found == [("1", "1.5", ""), ("1", "", "2.0"), ("2", "nan", "")]
    assert rows(tmp_path / "csv/config.csv") == [{"option": "a.b", "value": "1"}, {"option": "c", "value": "x,y"}]
    (system,) = rows(tmp_path / "csv/system.csv")
    assert float(system["system/ram_gib"]) > 0
    ended = {row["what"]: row["value"] for row in rows(tmp_path / "csv/run.csv")}
    assert ended == {"result": str(tmp_path), "status": "finished", "train/train_loss": "1.25"}


def test_evaluations_are_tables(tmp_path: Path) -> None:
    folder = tmp_path / "eval" / "judge" / "step-2"
    folder.mkdir(parents=True)
    number = {"value": 0.5, "standard_error": 0.1, "count": 2}
    (folder / "results.json").write_text(json.dumps({"metrics": {"held": {"wins": number}}}))
    (folder / "samples.jsonl").write_text('{"index": 0, "wins": 1}\n{"index": 1, "wins": 0}\n')
    tracker = Csv(system_seconds=0.0, examples=1)
    tracker.on_event(RunStarted(tmp_path, 2, {}))
    tracker.on_event(Evaluated(2, {"eval_wins": 0.5}))
    tracker.on_event(RunEnded("finished"))
    (line,) = rows(tmp_path / "csv/evaluations.csv")
    assert (line["step"], line["evaluator"], line["metric"], line["standard_error"]) == ("2", "judge", "wins", "0.1")
    assert rows(tmp_path / "csv/examples.csv") == [{"step": "2", "evaluator": "judge", "index": "0", "wins": "1"}]


def test_a_resumed_run_has_each_step_once(tmp_path: Path) -> None:
    run(tmp_path, 0, 4, 1.0)
    with (tmp_path / "csv/metrics.csv").open("a") as file:
        file.write("5,17")  # of a killed run
    run(tmp_path, 2, 4, 0.5)
    found = [(row["step"], row["train/loss"]) for row in rows(tmp_path / "csv/metrics.csv")]
    assert found == [("1", "1.0"), ("2", "1.0"), ("3", "0.5"), ("4", "0.5")]
    run(tmp_path, 0, 1, 2.0)
    assert [row["train/loss"] for row in rows(tmp_path / "csv/metrics.csv")] == ["2.0"]
