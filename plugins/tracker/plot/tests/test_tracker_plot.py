"""loss.png: that it shows the numbers, and is there when it should be."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tunesmith.keys import Key
from tunesmith.traits import TrackerTraits
from tunesmith.types import Evaluated, RunEnded, RunStarted, Saved, StepEnded
from tunesmith.validate import structured
from tunesmith_library_testing import TrackerSuite
from tunesmith_library_testing.parts import StubPlan
from tunesmith_tracker_plot import Plot
from tunesmith_tracker_plot.curves import parts, recorded, shown

SIDES = ("chosen", "rejected")


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


def test_smoothing_is_a_running_average() -> None:
    """Against pandas' exponentially weighted mean, whose `adjust=True` is the same formula."""
    import pandas
    from tunesmith_tracker_plot.drawing import smoothed

    values = [3.0, 1.0, float("nan"), 2.0, 5.0]
    expected = pandas.Series(values).ewm(alpha=0.2, adjust=True, ignore_na=True).mean()
    assert smoothed(values, 0.8) == pytest.approx(list(expected))


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


def test_recorded_keeps_evaluations_apart(tmp_path: Path) -> None:
    records = [
        {"step": 1, "loss": 2.0},
        {"step": 1, "eval_a_loss": 3.0},
        {"step": 1, "loss": None},
        {"step": 9, "loss": 1},
    ]
    file = tmp_path / "metrics.jsonl"
    broken = b'[1]\n{"loss": 7}\n{"step": "2", "loss": 7}\n\xff\n{"step": 3, "lo'
    file.write_bytes("".join(json.dumps(record) + "\n" for record in records).encode() + broken)
    assert recorded(file, until=5) == {"loss": {1: 2.0}, "eval_a_loss": {1: 3.0}}
    assert recorded(file, until=0) == recorded(tmp_path / "absent", until=5) == {}


def test_the_record_is_found_under_the_name_that_its_tracker_says(tmp_path: Path) -> None:
    keeps = SimpleNamespace(traits=TrackerTraits(metrics_file="numbers.txt"))
    (tmp_path / "numbers.txt").write_text('{"step": 1, "loss": 2.0}\n')
    tracker = Plot()
    tracker.configured(StubPlan({"tracker": {"plot": tracker, "silent": object(), "mine": keeps}}))
    tracker.on_event(RunStarted(tmp_path, 10, {}, resumed_from=5))
    assert tracker._curves == {"loss": {1: 2.0}}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("loss", ("loss", "training")),
        ("loss_my_chats", ("loss", "training my_chats")),
        ("eval_loss", ("loss", "evaluation")),
        ("eval_two_words_loss", ("loss", "evaluation two_words")),
        ("eval_held_rewards/margins", ("rewards/margins", "evaluation held")),
        ("eval_rewards/accuracies", ("rewards/accuracies", "evaluation")),
        ("policy_loss", None),
        ("rewards/function/mean", None),
        ("eval_runtime", None),
    ],
)
def test_what_a_name_says(name: str, expected: tuple[str, str] | None) -> None:
    assert parts(name) == expected


def test_single_evaluation_is_drawn_once() -> None:
    measured = {"eval_held_loss": 1.0, "eval_loss": 1.0, "eval_accuracy": 0.5, "eval_runtime": 3.0}
    assert shown(measured) == {"eval_held_loss": 1.0, "eval_accuracy": 0.5}
    assert shown({"eval_loss": 1.0}) == {"eval_loss": 1.0}


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


def test_a_metric_has_one_colour_in_training_and_evaluation(tmp_path: Path) -> None:
    """Where a panel shows several metrics: a curve's colour says which, its dashes that it is an evaluation."""
    from matplotlib.figure import Figure
    from tunesmith_tracker_plot import drawing

    drawn = Figure().add_subplot()
    metrics = ("rewards/chosen", "rewards/rejected")
    names = sorted([*metrics, *(f"eval_held_{metric}" for metric in metrics)], key=drawing._place)
    drawing._panel_of(drawn, {name: {1: 0.5, 2: 1.0} for name in names}, 0.0)
    lines = {line.get_label(): (line.get_color(), line.get_linestyle()) for line in drawn.get_lines()}
    assert list(lines) == [f"{side}, {where}" for where in ("training", "evaluation held") for side in SIDES]
    for side in SIDES:
        training, evaluation = lines[f"{side}, training"], lines[f"{side}, evaluation held"]
        assert training[0] == evaluation[0] and (training[1], evaluation[1]) == ("-", "--")
    assert lines["chosen, training"][0] != lines["rejected, training"][0]


def test_vector_formats(tmp_path: Path) -> None:
    tracker = Plot(filename="loss.svg")
    tell(tracker, tmp_path, range(1, 4))
    tracker.on_event(RunEnded("interrupted"))
    assert "<svg" in (tmp_path / "loss.svg").read_text()


def test_wrong_options_are_reported() -> None:
    assert [problem.key for problem in Plot(filename="loss").check(plan=None)] == ["tracker.plot.filename"]
    _, problems = structured(Plot, {"smoothing": 1.0}, Key("tracker", "plot"), "tracker=plot")
    assert [str(problem.key) for problem in problems] == ["tracker.plot.smoothing"]
