"""Which way metrics are better, under the names that evaluations give them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from tunesmith import TunesmithError, plugin
from tunesmith.catalog import Catalog
from tunesmith.traits import EvaluatorTraits, StageTraits
from tunesmith_library_testing.parts import StubPlan
from tunesmith_library_training.metrics import (
    PAIR_METRICS,
    REWARD_METRICS,
    TOKEN_METRICS,
    Declared,
    settle_best,
    unknown_metric,
    warn_of_non_finite,
)


def stage_of(metrics: Any) -> Any:
    return SimpleNamespace(traits=StageTraits(metrics=metrics))


def settled(
    asked: str | None,
    sets: dict[str, Any],
    declared: Declared | None = None,
    greater: bool | None = None,
    look: Any = dict,
    schedule: str = "linear",
) -> Any:
    arguments = SimpleNamespace(
        metric_for_best_model=asked, greater_is_better=None, lr_scheduler_type=schedule, lr_scheduler_kwargs=None
    )
    settle_best(arguments, sets, declared or Declared(TOKEN_METRICS), greater_is_better=greater, look=look)
    return arguments


ONE, TWO = {"held": [{}]}, {"a": [{}], "b": [{}]}
MIXED = {"validation": [{"dataset": "a"}, {"dataset": "b"}, {"dataset": "a"}]}


@pytest.mark.parametrize(
    ("asked", "sets", "stage", "name", "greater"),
    [
        (None, ONE, TOKEN_METRICS, "eval_loss", False),
        (None, TWO, TOKEN_METRICS, "eval_a_loss", False),
        (None, TWO, REWARD_METRICS, "eval_a_reward", True),
        ("accuracy", ONE, TOKEN_METRICS, "eval_accuracy", True),
        ("eval_b_loss", TWO, TOKEN_METRICS, "eval_b_loss", False),
        ("b_accuracy", TWO, TOKEN_METRICS, "eval_b_accuracy", True),
        ("loss_b", MIXED, TOKEN_METRICS, "eval_loss_b", False),
        ("eval_validation_loss_a", MIXED, TOKEN_METRICS, "eval_validation_loss_a", False),
        ("rewards/rejected", ONE, PAIR_METRICS, "eval_rewards/rejected", False),
        ("a_rewards/margins", TWO, PAIR_METRICS, "eval_a_rewards/margins", True),
        ("ended", ONE, REWARD_METRICS, "eval_ended", True),
    ],
)
def test_directions(asked: Any, sets: Any, stage: Any, name: str, greater: bool) -> None:
    arguments = settled(asked, sets, Declared(stage))
    assert (arguments.metric_for_best_model, arguments.greater_is_better) == (name, greater)


def test_a_schedule_follows_the_same_way() -> None:
    plateau = "reduce_lr_on_plateau"
    assert settled("accuracy", ONE, schedule=plateau).lr_scheduler_kwargs == {"mode": "max"}
    assert settled("loss", ONE, schedule=plateau).lr_scheduler_kwargs == {"mode": "min"}
    assert settled("accuracy", ONE).lr_scheduler_kwargs is None


def test_what_nobody_declares_is_looked_for() -> None:
    """Names come from a look at an evaluation; the evaluators' numbers say their way."""
    looks: list[int] = []

    def look() -> dict[str, bool | None]:
        looks.append(1)
        return {"eval_mine_distance": False, "eval_oddity": None}

    assert settled("mine_distance", ONE, look=look).greater_is_better is False
    assert settled("loss", ONE, look=look).greater_is_better is False and len(looks) == 1
    with pytest.raises(TunesmithError, match=r"metric_for_best_model=los is unknown\.\n.*did you mean loss\?"):
        settled("los", ONE, look=look)


def test_a_guess_is_said(caplog: Any) -> None:
    def look() -> dict[str, bool | None]:
        return {"eval_oddity": None, "eval_loss_of_all": None}

    assert settled("oddity", ONE, look=look).greater_is_better is True
    assert "nobody says which way eval_oddity is better: taken is greater" in caplog.text
    assert settled("loss_of_all", ONE, look=look).greater_is_better is False
    caplog.clear()
    assert settled("oddity", ONE, greater=False, look=look).greater_is_better is False and not caplog.records
    assert settled("loss", ONE, greater=True).greater_is_better is True
    assert "eval_loss is better the other way" in caplog.text


@plugin
class Distance:
    """An evaluator that says what it measures."""

    traits = EvaluatorTraits(metrics={"distance": False, "error": False, "distance_spread": False})


@plugin
class Silent:
    """One that does not."""


def test_an_unknown_metric_is_a_problem_of_the_plan() -> None:
    catalog = Catalog.of({"evaluator.distance": Distance, "evaluator.silent": Silent})

    def found(asked: str | None, evaluators: tuple[str, ...] = (), stage: Any = TOKEN_METRICS, **plugins: Any) -> Any:
        values = {"evaluator": {name: {} for name in evaluators}} if evaluators else {}
        parts = {"stage": {"mine": stage_of(stage)}, **plugins}
        return [problem.advice for problem in unknown_metric(StubPlan(parts, values=values, catalog=catalog), asked)]

    for known in (None, "loss", "eval_loss", "b_loss", "loss_b", "eval_b_loss_a", "accuracy"):
        assert found(known) == [], known
    (advice,) = found("accurcy")
    assert "did you mean accuracy?" in advice
    assert found("distance") and not found("distance", ("distance",)) and not found("b_distance", ("distance",))
    assert not found("distance_error", ("distance",)), "its own names stand behind it"
    assert not found("distance_spread", ("distance",)), "which may stand there already"
    assert not found("oddity", ("distance", "silent")), "one of them does not say what it measures"
    assert not found("oddity", stage={}), "nor does this stage"
    assert not found("oddity", loss={"mine": None}), "a loss has metrics of its own"


def test_numbers_that_are_none_are_said(caplog: Any) -> None:
    warn_of_non_finite({"eval_loss": float("nan"), "eval_accuracy": 0.5, "eval_b": float("inf")}, 7)
    assert "evaluation at step 7: eval_loss, eval_b is not finite" in caplog.text


def test_early_steps_are_forgotten_and_evaluations_kept() -> None:
    from tunesmith_library_training.reporting import forget_early_steps

    history = [{"step": step, "loss": 1.0} if step % 3 else {"step": step, "eval_loss": 2.0} for step in range(30)]
    forget_early_steps(history, most=5)
    assert [entry["step"] for entry in history if "loss" in entry] == [23, 25, 26, 28, 29]
    assert [entry["step"] for entry in history if "eval_loss" in entry] == list(range(0, 30, 3))
