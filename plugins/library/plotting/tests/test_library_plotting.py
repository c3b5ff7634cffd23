"""Curves of runs: what names say, what files hold, and what a picture shows."""

from __future__ import annotations

import json
import math
import random
import time
from pathlib import Path
from typing import Any

import pytest
from tunesmith import TunesmithError
from tunesmith_library_plotting import drawing
from tunesmith_library_plotting.drawing import MOST_POINTS, draw, smoothed, thinned
from tunesmith_library_plotting.panels import asked, part, results, shown
from tunesmith_library_plotting.reading import Recorded, read, recorded

SIDES = ("chosen", "rejected")


# ---- names -----------------------------------------------------------------------------------------------------------


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
        ("learning_rate", ("learning_rate", "training")),
        ("rewards/function/mean", None),
        ("eval_runtime", None),
    ],
)
def test_what_a_name_says(name: str, expected: tuple[str, str] | None) -> None:
    found = part(name)
    assert (found and (found.metric, found.measured_on)) == expected


def test_single_evaluation_is_drawn_once() -> None:
    measured = {"eval_held_loss": 1.0, "eval_loss": 1.0, "eval_accuracy": 0.5, "eval_runtime": 3.0}
    assert shown(measured) == {"eval_held_loss": 1.0, "eval_accuracy": 0.5}
    assert shown({"eval_loss": 1.0}) == {"eval_loss": 1.0}


def test_results_of_evaluators_are_those_without_a_panel() -> None:
    """The longer of two names of one number, no times, and nothing of training."""
    measured = {"eval_held_bleu": 20.0, "eval_bleu": 20.0, "eval_held_loss": 1.0, "eval_runtime": 3.0, "kl": 0.1}
    assert results(measured) == {"eval_held_bleu": 20.0}
    assert asked("eval_held_bleu").panel == "eval_held_bleu" and asked("eval_held_bleu").is_evaluation


# ---- files -----------------------------------------------------------------------------------------------------------


def write_lines(file: Path, records: list[dict[str, Any]], end: str = "") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(record) + "\n" for record in records) + end)
    return file


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


def test_reads_a_run_that_is_going_on(tmp_path: Path) -> None:
    """The last line is not finished; of each step it is known where it is on every axis."""
    steps = [
        {
            "event": "step",
            "step": step,
            "epoch": step / 4,
            "loss": 4.0 / step,
            "tokens_of_a": 100 * step,
            "time": 50.0 + step,
        }
        for step in (1, 2)
    ]
    measured = [{"event": "evaluation", "step": 2, "eval_a_bleu": 7.0, "eval_bleu": 7.0, "time": 60.0}]
    write_lines(tmp_path / "mine" / "metrics.jsonl", steps + measured, '{"step": 3, "lo')
    run = read(tmp_path / "mine")
    assert run.name == "mine"
    assert run.curves == {"loss": {1: 4.0, 2: 2.0}, "eval_a_bleu": {2: 7.0}}
    assert run.places["epoch"] == {1: 0.25, 2: 0.5} and run.places["tokens"] == {1: 100.0, 2: 200.0}
    assert run.places["time"] == {1: 0.0, 2: 9.0}


def test_reads_what_llama_factory_logs(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = [
        {"current_steps": 5, "loss": 1.5, "lr": 1e-4, "epoch": 0.5, "elapsed_time": "0:01:00", "total_tokens": 900},
        {
            "current_steps": 10,
            "loss": 1.0,
            "lr": 5e-5,
            "epoch": 1.0,
            "elapsed_time": "1 day, 0:02:00",
            "total_tokens": 1800,
        },
        {"current_steps": 10, "eval_loss": 1.2, "epoch": 1.0},
    ]
    write_lines(tmp_path / "trainer_log.jsonl", records)
    run = read(tmp_path)
    assert run.curves == {"loss": {5: 1.5, 10: 1.0}, "learning_rate": {5: 1e-4, 10: 5e-5}, "eval_loss": {10: 1.2}}
    assert run.places["time"] == {5: 0.0, 10: 86460.0} and run.places["tokens"][10] == 1800.0


def test_reads_the_newest_state_of_a_trainer(tmp_path: Path) -> None:
    """In the form in which transformers' `TrainerState.save_to_json` writes it."""
    for step in (9, 10):
        history = [{"loss": 1.0 * step, "grad_norm": 0.5, "epoch": 1.0, "step": step}, {"train_runtime": 3.0}]
        (tmp_path / f"checkpoint-{step}").mkdir()
        state = {"best_metric": None, "global_step": step, "log_history": history}
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(json.dumps(state, indent=2))
    assert read(tmp_path).curves == {"loss": {10: 10.0}, "grad_norm": {10: 0.5}}


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match=r"absent is no folder of a run"):
        read(tmp_path / "absent")
    with pytest.raises(TunesmithError, match=r"has no metrics: none of metrics\.jsonl"):
        read(tmp_path)
    (tmp_path / "trainer_state.json").write_text("[]")
    with pytest.raises(TunesmithError, match="it has no log_history"):
        read(tmp_path)
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": null}\n')
    with pytest.raises(TunesmithError, match="nothing is logged in it yet"):
        read(tmp_path)


# ---- pictures --------------------------------------------------------------------------------------------------------


def test_smoothing_is_a_running_average() -> None:
    """Against pandas' exponentially weighted mean, whose `adjust=True` is the same formula."""
    import pandas

    values = [3.0, 1.0, float("nan"), 2.0, 5.0]
    expected = pandas.Series(values).ewm(alpha=0.2, adjust=True, ignore_na=True).mean()
    assert smoothed(values, 0.8) == pytest.approx(list(expected))


def test_thinned_curves_keep_their_ends_of_range() -> None:
    noise = random.Random(0)
    values = [noise.random() for _ in range(100_000)]
    values[43_210], values[5] = 9.0, math.nan
    places, kept = thinned(range(100_000), values)
    assert len(kept) <= MOST_POINTS and max(kept) == 9.0 and min(kept) == min(values)
    assert places[list(kept).index(9.0)] == 43_210 and list(places) == sorted(places)
    assert thinned([1, 2], [3.0, 4.0]) == ([1, 2], [3.0, 4.0])


def test_long_runs_are_drawn_quickly(tmp_path: Path) -> None:
    """100,000 logged steps, smoothed."""
    curve = {step: 1.0 + math.sin(step) / 9 for step in range(100_000)}
    started = time.process_time()
    draw([Recorded("long", {"loss": curve, "grad_norm": curve})], tmp_path / "curves.png", 0.9)
    assert time.process_time() - started < 5.0


def lines_of(runs: list[Recorded], smoothing: float = 0.0) -> dict[str, tuple[Any, Any]]:
    """Of one panel: label -> colour and dashes."""
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    parts = {name: asked(name) for run in runs for name in run.curves}
    drawing._panel(axes, [(run.curves, None) for run in runs], parts, smoothing)
    return {
        f"{place} {line.get_label()}": (line.get_color(), line.get_linestyle()) for place, line in enumerate(axes.lines)
    }


def test_a_metric_has_one_colour_in_training_and_evaluation() -> None:
    """Where a panel shows several metrics: a curve's colour says which, its dashes that it is an evaluation."""
    metrics = ("rewards/chosen", "rewards/rejected")
    curves = {name: {1: 0.5, 2: 1.0} for metric in metrics for name in (metric, f"eval_held_{metric}")}
    lines = lines_of([Recorded("mine", curves)])
    wanted = [f"{side}, {where}" for where in ("training", "evaluation held") for side in SIDES]
    assert list(lines) == [f"{place} {label}" for place, label in enumerate(wanted)]
    drawn = list(lines.values())
    assert [dash for _, dash in drawn] == ["-", "-", "--", "--"]
    assert drawn[0][0] == drawn[2][0] != drawn[1][0] == drawn[3][0]


def test_several_runs_have_a_colour_each() -> None:
    curves = {"loss": {1: 2.0, 2: 1.0}, "eval_loss": {2: 1.5}}
    lines = list(lines_of([Recorded("a", curves), Recorded("b", curves)]).values())
    assert [colour for colour, _ in lines] == [drawing.COLOURS[0], drawing.COLOURS[1]] * 2
    assert lines[0][1] == lines[1][1] != lines[2][1] == lines[3][1]


def test_steps_are_placed_on_another_axis(tmp_path: Path) -> None:
    """A step of which nothing is known, as that of an evaluation, is where the last one before it was."""
    places = {1: 100.0, 5: 500.0}
    assert drawing._points({0: 9.0, 1: 1.0, 5: 2.0, 7: 3.0}, places, 10.0) == ([10.0, 50.0, 50.0], [1.0, 2.0, 3.0])
    assert drawing._axis("time", [{1: 3600.0}]) == ("minutes", 60.0)
    assert drawing._axis("time", [{1: 3600.0}, {1: 9000.0}]) == ("hours", 3600.0)
    run = Recorded("mine", {"loss": {1: 1.0, 5: 2.0}}, places={"tokens": places})
    draw([run, run], tmp_path / "curves.svg", 0.9, "tokens")
    texts = (tmp_path / "curves.svg").read_text()
    assert "<!-- tokens -->" in texts and texts.count("<!-- mine -->") == 2
