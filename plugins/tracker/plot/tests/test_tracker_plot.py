"""loss.png: that it shows the numbers, and is there when it should be."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tunesmith.keys import Key
from tunesmith.traits import TrackerTraits
from tunesmith.types import Evaluated, RunEnded, RunStarted, Saved, StepEnded
from tunesmith.validate import structured
from tunesmith_library_testing import TrackerSuite
from tunesmith_library_testing.parts import StubPlan
from tunesmith_tracker_plot import Plot


class TestPlot(TrackerSuite):
    plugin = Plot
    writes = ("loss.png",)


def tell(tracker: Plot, folder: Path, steps: range, total: int = 40, **begin: Any) -> None:
    tracker.on_event(RunStarted(folder, total, {}, **begin))
    for step in steps:
        tracker.on_event(StepEnded(step, total, step / total, {"loss": 4.0 / step}))


def pixels(path: Path) -> Any:
    from matplotlib.image import imread

    return imread(path)


def test_refreshed_at_saves_and_evaluations(tmp_path: Path) -> None:
    """Steps alone draw nothing; a checkpoint does, and more points make another picture."""
    tracker, path = Plot(), tmp_path / "loss.png"
    tell(tracker, tmp_path, range(1, 11))
    assert not path.exists()
    tracker.on_event(Saved(10, tmp_path / "checkpoint-10"))
    first = pixels(path)
    tracker.on_event(Evaluated(10, {"eval_held_loss": 1.0, "eval_loss": 1.0}))
    assert (pixels(path) != first).any()
    assert [entry.name for entry in tmp_path.iterdir()] == ["loss.png"]


def test_nothing_new_is_not_drawn_again(tmp_path: Path) -> None:
    """The end of a run often follows its last checkpoint at once."""
    tracker, path = Plot(), tmp_path / "loss.png"
    tell(tracker, tmp_path, range(1, 11))
    tracker.on_event(Saved(10, tmp_path / "checkpoint-10"))
    path.unlink()
    tracker.on_event(RunEnded("finished"))
    assert not path.exists()
    tell(tracker, tmp_path, range(11, 21))
    tracker.on_event(RunEnded("finished"))
    assert path.exists()


def test_resumed_run_continues_the_curves(tmp_path: Path) -> None:
    """With what `jsonl` kept, an interrupted and resumed run draws the picture of one that was not interrupted."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        folder.mkdir()
    tracker = Plot()
    tell(tracker, whole, range(1, 41))
    tracker.on_event(RunEnded("finished"))
    records = [{"event": "step", "step": step, "loss": 4.0 / step} for step in range(1, 26)]
    (cut / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records) + '{"st')
    tracker = Plot()
    tell(tracker, cut, range(21, 41), resumed_from=20)
    tracker.on_event(RunEnded("finished"))
    assert (pixels(whole / "loss.png") == pixels(cut / "loss.png")).all()


def test_the_record_is_found_under_the_name_that_its_tracker_says(tmp_path: Path) -> None:
    keeps = SimpleNamespace(traits=TrackerTraits(metrics_file="numbers.txt"))
    (tmp_path / "numbers.txt").write_text('{"step": 1, "loss": 2.0}\n')
    tracker = Plot()
    tracker.configured(StubPlan({"tracker": {"plot": tracker, "silent": object(), "mine": keeps}}))
    tracker.on_event(RunStarted(tmp_path, 10, {}, resumed_from=5))
    assert tracker._curves == {"loss": {1: 2.0}}


def texts_of(path: Path) -> str:
    """The words of a picture in SVG, in which matplotlib keeps each text as a comment."""
    return " ".join(line.strip(" <!->") for line in path.read_text().splitlines() if line.strip().startswith("<!--"))


def test_rewards_and_accuracies_have_panels_of_their_own(tmp_path: Path) -> None:
    tracker = Plot(filename="loss.svg")
    tracker.on_event(RunStarted(tmp_path, 3, {}))
    for step in (1, 2, 3):
        tracker.on_event(StepEnded(step, 3, step / 3, {"loss": 0.5, "rewards/chosen": 0.1 * step, "kl": 0.3}))
    tracker.on_event(RunEnded("finished"))
    words = texts_of(tmp_path / "loss.svg")
    assert "loss" in words and "reward" in words and "accuracy" not in words and "kl" not in words
    tracker.on_event(RunStarted(tmp_path, 3, {}))
    tracker.on_event(StepEnded(1, 3, 1 / 3, {"loss": 0.5}))
    tracker.on_event(Evaluated(1, {"eval_held_rewards/margins": 0.2, "eval_held_rewards/accuracies": 0.7}))
    words = texts_of(tmp_path / "loss.svg")
    assert "margins, evaluation held" in words and "accuracy" in words
    assert words.count("evaluation held") == 2 and words.count("training, smoothed") == 1


def test_vector_formats(tmp_path: Path) -> None:
    tracker = Plot(filename="loss.svg")
    tell(tracker, tmp_path, range(1, 4))
    tracker.on_event(RunEnded("interrupted"))
    assert "<svg" in (tmp_path / "loss.svg").read_text()


def test_wrong_options_are_reported() -> None:
    assert [problem.key for problem in Plot(filename="loss").check(plan=None)] == ["tracker.plot.filename"]
    _, problems = structured(Plot, {"smoothing": 1.0}, Key("tracker", "plot"), "tracker=plot")
    assert [str(problem.key) for problem in problems] == ["tracker.plot.smoothing"]
