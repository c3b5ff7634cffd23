"""The metric that evaluations are compared by, and how long a training has waited for a better one."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
from tunesmith import TunesmithError
from tunesmith_library_training.stopping import EarlyStopping, metric_name, require_best_metric
from tunesmith_library_training.stopping import evaluations_without_gain as count


def arguments(metric: str | None, greater_is_better: bool = False) -> Any:
    return SimpleNamespace(metric_for_best_model=metric, greater_is_better=greater_is_better)


def test_evaluations_without_gain() -> None:
    assert [count([3.0, 2.0, 2.5, 1.0, 1.0][:number], 0.0, False) for number in range(6)] == [0, 0, 0, 1, 0, 1]
    assert count([3.0, 2.95, 2.92], 0.1, False) == 2, "too little to count"
    assert count([3.0, 2.95, 2.92, 2.85], 0.1, False) == 0, "but little gains add up"
    assert count([0.1, 0.5, 0.4], 0.0, True) == 1
    assert count([math.nan, math.nan], 0.0, False) == 2


def test_the_metric_as_it_is_logged() -> None:
    assert metric_name(arguments("reward")) == metric_name(arguments("eval_reward")) == "eval_reward"


def test_a_metric_that_no_evaluation_has_is_answered_with_the_nearest() -> None:
    require_best_metric(arguments(None), {})
    require_best_metric(arguments("loss"), {"eval_loss": 1.0})
    with pytest.raises(TunesmithError, match=r"metric_for_best_model=los is unknown(.|\n)*did you mean loss"):
        require_best_metric(arguments("los"), {"eval_loss": 1.0})


def test_early_stopping_counts_in_the_history() -> None:
    stopping, control = EarlyStopping(2, 0.0), SimpleNamespace(should_training_stop=False)
    history = [{"loss": 1.0}, {"eval_loss": 2.0}, {"eval_loss": 2.5}]
    state = SimpleNamespace(log_history=history, is_world_process_zero=True, global_step=3)
    stopping.on_evaluate(arguments("loss"), state, control)
    assert not control.should_training_stop
    history.append({"eval_loss": 2.0})
    stopping.on_evaluate(arguments("loss"), state, control)
    assert control.should_training_stop
