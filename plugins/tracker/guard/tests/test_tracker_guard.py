"""The guard: each rule on runs in which it holds and in which it does not, what is said once, and the end of a run."""

from __future__ import annotations

import json
import logging
import math
import random
import signal
import statistics
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tunesmith.traits import StageTraits
from tunesmith.types import Evaluated, RunEnded, RunStarted, StepEnded
from tunesmith_library_testing import TrackerSuite
from tunesmith_library_testing.parts import StubPlan
from tunesmith_tracker_guard import Guard
from tunesmith_tracker_guard.history import deviation
from tunesmith_tracker_guard.watch import RULES, moves

Logged = Sequence[Mapping[str, float]]
MASKS = StageTraits(reads=("messages",))
GENERATES = StageTraits(reads=("prompt",), generates=True)
COSINE = {"trainer": {"lr_scheduler_type": "cosine"}}


class TestGuard(TrackerSuite):
    plugin = Guard


def learning(steps: int = 40, seed: int = 0) -> list[dict[str, float]]:
    """A healthy run: a loss that falls, with noise."""
    noise = random.Random(seed)
    return [
        {
            "loss": 1.0 + 3 * math.exp(-step / 20) + noise.gauss(0, 0.1),
            "grad_norm": abs(1.0 + noise.gauss(0, 0.2)),
            "learning_rate": 1e-4 * (1 - step / steps / 2),
            "trained_token_share": 0.4,
        }
        for step in range(steps)
    ]


def rewarded(steps: int = 20, **changed: float) -> list[dict[str, float]]:
    """A healthy run that learns from rewards: its losses are about 0, and say nothing."""
    usual = {
        "reward": 0.5, "frac_reward_zero_std": 0.25, "entropy": 1.0, "clip_ratio/region_mean": 0.02, "kl": 0.01,
        "completions/clipped_ratio": 0.1, "grad_norm": 0.3,
    }  # fmt: skip
    return [{**usual, "loss": (-1) ** step * 0.01 * step, **changed} for step in range(steps)]


def names(
    folder: Path,
    logged: Logged,
    *,
    evaluations: Mapping[int, Mapping[str, float]] = {},
    stage: StageTraits = MASKS,
    config: Mapping[str, Any] = COSINE,
    **options: Any,
) -> list[tuple[str, int]]:
    """What is found in a run, and at which step: one that logs each step, and evaluates after some."""
    guard = Guard(**options)
    guard.configured(StubPlan({"stage": {"mine": type("Mine", (), {"traits": stage})()}, "tracker": {"guard": guard}}))
    guard.on_event(RunStarted(folder, len(logged), config))
    for step, metrics in enumerate(logged, 1):
        guard.on_event(StepEnded(step, len(logged), 0.0, metrics))
        if step in evaluations:
            guard.on_event(Evaluated(step, evaluations[step]))
    guard.on_event(RunEnded("finished"))
    file = folder / "guard.jsonl"
    told = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return [(each["name"], each["step"]) for each in told]


def changed(
    logged: Logged, start: int, stop: int | None = None, named: Mapping[str, float] = {}, **values: float
) -> list[dict[str, float]]:
    """A run in which some steps have other values."""
    stop = stop or len(logged)
    other = {**named, **values}
    return [{**metrics, **(other if start <= step <= stop else {})} for step, metrics in enumerate(logged, 1)]


def diverging() -> list[dict[str, float]]:
    """A run whose loss is far above that of its first step, by more and more."""
    return [{**metrics, "loss": metrics["loss"] + 300.0 * place} for place, metrics in enumerate(learning())]


FAULTS: dict[str, tuple[Logged, int]] = {
    "non_finite": (changed(learning(), 20, loss=math.nan), 20),
    "loss_spike": (changed(learning(), 20, 20, loss=9.0), 20),
    "gradient_explosion": (changed(learning(), 20, 20, grad_norm=50.0), 20),
    "loss_rises": (diverging(), 4),
    "loss_flat": (changed(learning(), 1, loss=0.6931), 16),
    "zero_gradient": (changed(learning(), 2, named={"zero_gradient/layers.*.q_proj.lora_B": 4.0}), 3),
    "no_trained_tokens": (changed(learning(), 1, trained_token_share=0.0), 2),
    "all_tokens_trained": (changed(learning(), 1, trained_token_share=1.0), 2),
    "learning_rate_stuck": (changed(learning(), 1, learning_rate=1e-4), 5),
    "duplicate_batches": (changed(learning(), 2, repeated_examples=0.75), 3),
}
REWARD_FAULTS: dict[str, tuple[Logged, int]] = {
    "no_spread": (changed(rewarded(), 5, frac_reward_zero_std=1.0), 7),
    "entropy_collapse": (changed(rewarded(), 5, entropy=0.01), 7),
    "clip_share": (changed(rewarded(), 5, named={"clip_ratio/region_mean": 0.9}), 7),
    "length_limit": (changed(rewarded(), 5, named={"completions/clipped_ratio": 1.0}), 7),
    "kl_explosion": (changed(rewarded(), 5, kl=40.0), 7),
}


@pytest.mark.parametrize("name", FAULTS)
def test_names_what_is_wrong_in_a_training(name: str, tmp_path: Path) -> None:
    logged, step = FAULTS[name]
    assert names(tmp_path, logged) == [(name, step)]


@pytest.mark.parametrize("name", REWARD_FAULTS)
def test_names_what_is_wrong_with_rewards(name: str, tmp_path: Path) -> None:
    logged, step = REWARD_FAULTS[name]
    assert names(tmp_path, logged, stage=GENERATES) == [(name, step)]
    assert names(tmp_path, logged) == [], "a stage that learns from texts may log such names, too"


def test_every_rule_has_its_fault() -> None:
    assert {*FAULTS, *REWARD_FAULTS, "overfitting"} == set(RULES)


@pytest.mark.parametrize("seed", range(20))
def test_healthy_runs_are_left_alone(seed: int, tmp_path: Path) -> None:
    assert names(tmp_path, learning(200, seed)) == []


def test_healthy_rewards_are_left_alone(tmp_path: Path) -> None:
    assert names(tmp_path, rewarded(), stage=GENERATES) == []


@pytest.mark.parametrize(
    ("training", "evaluation", "expected"),
    [
        ([3, 2.5, 2.0, 1.5, 1.0], [2.0, 1.8, 1.9, 2.0, 2.1], [("overfitting", 16)]),
        ([3, 2.5, 2.0, 1.5, 1.0], [2.0, 1.8, 1.9, 1.7, 1.8], []),
        ([3, 3.5, 4.0, 4.5, 5.0], [2.0, 1.8, 1.9, 2.0, 2.1], []),
        ([3, 2.5, 2.0, 1.5, 1.0], [2.0, 1.8, 1.81, 1.82, 1.81], []),
    ],
    ids=["apart", "a new best", "both rise", "within the noise"],
)
def test_overfitting(
    training: list[float], evaluation: list[float], expected: list[tuple[str, int]], tmp_path: Path
) -> None:
    """Four steps, then an evaluation."""
    logged = [{"loss": value + 0.01 * step} for value in training for step in range(4)]
    measured = {4 * place: {"eval_held_loss": value} for place, value in enumerate(evaluation, 1)}
    assert names(tmp_path, logged, evaluations=measured) == expected


def test_stages_that_train_all_tokens_may(tmp_path: Path) -> None:
    logged, _ = FAULTS["all_tokens_trained"]
    assert names(tmp_path, logged, stage=StageTraits(reads=("text",))) == []
    assert names(tmp_path, logged, config={"stage": {"train_on_prompt": True}}) == []


def test_a_constant_learning_rate_may_stay(tmp_path: Path) -> None:
    logged, _ = FAULTS["learning_rate_stuck"]
    assert names(tmp_path, logged, config={"trainer": {"lr_scheduler_type": "constant"}}) == []
    assert names(tmp_path, changed(learning(), 1, learning_rate=0.0), config={}) == [("learning_rate_stuck", 3)]
    assert moves({"stage": {"lr_scheduler_type": "linear"}}) and not moves({"stage": "ppo"})


def test_adapters_that_begin_without_gradient_are_given_time(tmp_path: Path) -> None:
    """One step, and then another place, is nothing."""
    logged = changed(learning(), 1, 1, {"zero_gradient/lora_A": 4.0})
    assert names(tmp_path, changed(logged, 2, 2, {"zero_gradient/lora_B": 4.0})) == []


def test_a_gradient_that_was_lost_is_no_matter_of_target_modules(tmp_path: Path) -> None:
    """Nor is a higher learning rate tried for a loss that stays, where it was too high."""
    place = {"zero_gradient/lora_A": 4.0}
    runs = [changed(learning(), 4, named=place), changed(learning(), 4, loss=11.9, grad_norm=0.0, named=place)]
    for number, logged in enumerate(runs):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert names(folder, logged, ignore=["loss_rises", "loss_spike"]) == [("zero_gradient", 5)]
        told = json.loads((folder / "guard.jsonl").read_text())
        assert "had been another" in told["message"] and told["advice"].startswith("a lower learning rate")
    names(tmp_path, changed(learning(), 1, named=place))
    assert "target_modules" in (tmp_path / "guard.jsonl").read_text(), "there was none from the first step on"


def test_answers_of_one_reward_have_no_gradient_either(tmp_path: Path) -> None:
    found = names(tmp_path, rewarded(frac_reward_zero_std=1.0, grad_norm=0.0), stage=GENERATES)
    assert found == [("no_spread", 3)]


def test_the_distance_of_a_whole_answer_is_taken_by_token(tmp_path: Path) -> None:
    assert names(tmp_path, rewarded(kl=40.0, answer_tokens=100.0), stage=GENERATES) == []


def test_is_said_once_and_anew_when_it_was_gone(tmp_path: Path) -> None:
    steady = [{"loss": 1.0 + 0.01 * (step % 3)} for step in range(60)]
    twice = changed(changed(steady, 20, 20, loss=5.0), 22, 22, loss=5.0)
    assert names(tmp_path, twice, window=10) == [("loss_spike", 20)]
    later = changed(twice, 50, 50, loss=5.0)
    assert names(tmp_path, later, window=10) == [("loss_spike", 20), ("loss_spike", 50)]


def test_warns_with_step_and_advice(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    logged, _ = FAULTS["loss_spike"]
    with caplog.at_level(logging.WARNING, "tunesmith"):
        names(tmp_path, logged)
    assert [record.getMessage().splitlines() for record in caplog.records] == [
        [caplog.records[0].getMessage().splitlines()[0], f"  what to try: {RULES['loss_spike'].advice}"]
    ]
    assert caplog.records[0].getMessage().startswith("guard: loss_spike at step 20: the loss is 9, and was ")
    told = json.loads((tmp_path / "guard.jsonl").read_text())
    assert told.keys() == {"step", "name", "message", "advice", "time"}


def test_a_resumed_run_keeps_what_was_found_before(tmp_path: Path) -> None:
    file = tmp_path / "guard.jsonl"
    lines = [json.dumps({"step": step, "name": "loss_flat"}) for step in (3, 9)]
    file.write_text("\n".join([*lines, '{"st']))
    guard = Guard()
    guard.on_event(RunStarted(tmp_path, 10, {}, resumed_from=5))
    assert [json.loads(line)["step"] for line in file.read_text().splitlines()] == [3]
    guard.on_event(RunStarted(tmp_path, 10, {}))
    assert not file.exists()


def test_unknown_names_are_reported() -> None:
    problems = Guard(stop_on=["loss_rise"], ignore=["overfitting", "x"]).check(plan=StubPlan({}))
    assert [str(problem.key) for problem in problems] == ["tracker.guard.stop_on", "tracker.guard.ignore"]
    assert "loss_rises" in str(problems[0].advice)


def test_what_is_ignored_is_not_found(tmp_path: Path) -> None:
    assert names(tmp_path, FAULTS["loss_spike"][0], ignore=["loss_spike"]) == []


def test_deviation_is_that_of_normal_values() -> None:
    noise = random.Random(0)
    values = [noise.gauss(5, 2) for _ in range(4001)]
    assert deviation(values) == pytest.approx(statistics.stdev(values), rel=0.05)
    assert deviation([1.0, 1.0, 1.0, 1e9]) == 0.0


# ---- the end of a run --------------------------------------------------------------------------------------------


@pytest.fixture
def heard() -> Iterator[list[int]]:
    """The signals that a loop would hear."""
    signals: list[int] = []
    former = signal.signal(signal.SIGINT, lambda number, frame: signals.append(number))
    yield signals
    signal.signal(signal.SIGINT, former)


@pytest.mark.parametrize(
    ("options", "count"), [({"stop": True}, 1), ({"stop_on": ["loss_rises"]}, 1), ({"stop_on": ["loss_flat"]}, 0)]
)
def test_stops_once(options: dict[str, Any], count: int, heard: list[int], tmp_path: Path) -> None:
    logged = changed(diverging(), 30, repeated_examples=1.0)
    assert [name for name, _ in names(tmp_path, logged, **options)] == ["loss_rises", "duplicate_batches"]
    assert heard == [signal.SIGINT] * count


def test_where_no_loop_listens_the_run_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In another thread, and without a handler, the signal would end the program."""
    found: list[Any] = []
    logged, _ = FAULTS["loss_rises"]
    thread = threading.Thread(target=lambda: found.extend(names(tmp_path, logged, stop=True)))
    with caplog.at_level(logging.WARNING, "tunesmith"):
        thread.start()
        thread.join()
        assert found == names(tmp_path, logged, stop=True) == [("loss_rises", 4)]
    assert sum("cannot be asked to stop here" in record.getMessage() for record in caplog.records) == 2
