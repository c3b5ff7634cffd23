"""Courses of the learning rate: what they take is what transformers takes, and mistakes are told in the plan."""

from __future__ import annotations

import inspect
from typing import Any, get_args

import pytest
from tunesmith_library_testing.parts import StubPlan
from tunesmith_trainer_transformers import Scheduler, Transformers
from tunesmith_trainer_transformers.schedules import ARGUMENTS, WITHOUT_WARMUP

PLAN = StubPlan({"stage": {"sft": None}})


def problems(**options: Any) -> list[tuple[str, str]]:
    found = Transformers(**options).check(plan=PLAN)
    return [(str(problem.key).removeprefix("trainer."), problem.severity) for problem in found]


def test_arguments_are_those_of_transformers() -> None:
    import torch
    from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION
    from transformers.trainer_utils import SchedulerType

    assert set(ARGUMENTS) == set(get_args(Scheduler))
    trainers = {"self", "optimizer", "num_warmup_steps", "num_training_steps", "last_epoch"}
    for name, arguments in ARGUMENTS.items():
        function: Any = TYPE_TO_SCHEDULER_FUNCTION[SchedulerType(name)]
        taken = set(inspect.signature(function).parameters)
        if name == "reduce_lr_on_plateau":
            taken = set(inspect.signature(torch.optim.lr_scheduler.ReduceLROnPlateau.__init__).parameters)
        assert taken - trainers == set(arguments), name
        assert ("num_warmup_steps" not in taken) == (name in WITHOUT_WARMUP), name


GOOD = {
    "cosine": {"num_cycles": 0.5},
    "cosine_with_restarts": {"num_cycles": 2},
    "cosine_with_min_lr": {"min_lr_rate": 0.1},
    "cosine_warmup_with_min_lr": {"min_lr_rate": 0.1, "warmup_lr_rate": 0.1},
    "polynomial": {"lr_end": 0, "power": 2.0},
    "inverse_sqrt": {"timescale": 5},
    "warmup_stable_decay": {"num_decay_steps": 3, "decay_type": "1-sqrt", "min_lr_ratio": 0.1},
    "reduce_lr_on_plateau": {"factor": 0.5, "patience": 2, "threshold_mode": "abs", "min_lr": 1e-6},
}


def test_what_passes_is_taken() -> None:
    import torch
    from transformers import get_scheduler

    for name in ARGUMENTS:
        arguments = GOOD.get(name, {})
        assert problems(lr_scheduler_type=name, lr_scheduler_kwargs=arguments, eval_strategy="steps") == [], name
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-4)
        schedule: Any = get_scheduler(name, optimizer, 2, 10, arguments)
        assert hasattr(schedule, "step")


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, 60), ({"num_stable_steps": 5}, 60), ({"num_decay_steps": 7}, 7), ({"min_lr_ratio": 0.1}, 60)],
)
def test_a_stable_rate_falls_over_two_thirds(given: dict[str, Any], expected: int) -> None:
    """Of 100 steps after 10 of warm-up: 90 // 3 are stable, and the other 60 fall."""
    from tunesmith_library_training.own_checkpoints import settle_decay

    class Arguments:
        lr_scheduler_type = "warmup_stable_decay"
        lr_scheduler_kwargs = given

        def get_warmup_steps(self, steps: int) -> int:
            return 10

    arguments = Arguments()
    settle_decay(arguments, 100)
    assert arguments.lr_scheduler_kwargs == {**given, "num_decay_steps": expected}
    assert problems(lr_scheduler_type="warmup_stable_decay", lr_scheduler_kwargs=given) == []


@pytest.mark.parametrize(
    ("name", "arguments", "key"),
    [
        ("cosine", {"num_cycle": 1}, "lr_scheduler_kwargs.num_cycle"),
        ("cosine", {"num_cycles": "two"}, "lr_scheduler_kwargs.num_cycles"),
        ("cosine", {"num_cycles": float("nan")}, "lr_scheduler_kwargs.num_cycles"),
        ("cosine", {"num_cycles": True}, "lr_scheduler_kwargs.num_cycles"),
        ("cosine_with_restarts", {"num_cycles": 1.5}, "lr_scheduler_kwargs.num_cycles"),
        ("linear", {"num_training_steps": 7}, "lr_scheduler_kwargs.num_training_steps"),
        ("constant", {"min_lr": 0}, "lr_scheduler_kwargs.min_lr"),
        ("cosine_with_min_lr", {}, "lr_scheduler_kwargs"),
        ("cosine_with_min_lr", {"min_lr": 0, "min_lr_rate": 0}, "lr_scheduler_kwargs"),
        ("cosine_with_min_lr", {"min_lr": 1}, "lr_scheduler_kwargs.min_lr"),
        ("cosine_warmup_with_min_lr", {"warmup_lr_rate": 0.1}, "lr_scheduler_kwargs"),
        ("cosine_warmup_with_min_lr", {"min_lr_rate": 0, "warmup_lr_rate": 2}, "lr_scheduler_kwargs.warmup_lr_rate"),
        ("warmup_stable_decay", {"num_decay_steps": 11}, "lr_scheduler_kwargs.num_decay_steps"),
        ("warmup_stable_decay", {"num_decay_steps": 1, "decay_type": "cosin"}, "lr_scheduler_kwargs.decay_type"),
        ("polynomial", {"lr_end": 1e-3}, "lr_scheduler_kwargs.lr_end"),
        ("inverse_sqrt", {"timescale": 0}, "lr_scheduler_kwargs.timescale"),
        ("reduce_lr_on_plateau", {"factor": 1.0}, "lr_scheduler_kwargs.factor"),
        ("reduce_lr_on_plateau", {"mode": "best"}, "lr_scheduler_kwargs.mode"),
        ("reduce_lr_on_plateau", {"verbose": True}, "lr_scheduler_kwargs.verbose"),
    ],
)
def test_mistakes(name: str, arguments: dict[str, Any], key: str) -> None:
    options = {"lr_scheduler_type": name, "lr_scheduler_kwargs": arguments, "max_steps": 10, "eval_strategy": "steps"}
    assert problems(**options) == [(key, "error")]


def test_a_misspelt_argument_is_answered_with_the_nearest() -> None:
    (problem,) = Transformers(lr_scheduler_kwargs={"num_cycle": 1}).check(plan=PLAN)
    assert "did you mean num_cycles?" in problem.advice


def test_a_small_learning_rate_ends_below_nothing() -> None:
    assert problems(lr_scheduler_type="polynomial", learning_rate=1e-8) == [("lr_scheduler_kwargs.lr_end", "error")]


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"lr_scheduler_type": "constant", "warmup_steps": 5}, "warmup_steps"),
        ({"lr_scheduler_type": "constant", "warmup_ratio": 0.1}, "warmup_ratio"),
        ({"lr_scheduler_type": "reduce_lr_on_plateau", "warmup_steps": 5, "eval_strategy": "steps"}, "warmup_steps"),
        ({"max_steps": 5, "warmup_steps": 5}, "warmup_steps"),
        ({"warmup_steps": 5, "warmup_ratio": 0.1}, "warmup_ratio"),
    ],
)
def test_a_warmup_in_vain_is_said(options: dict[str, Any], key: str) -> None:
    assert problems(**options) == [(key, "warning")]


def test_no_warmup_is_no_warmup_in_vain() -> None:
    assert problems(lr_scheduler_type="constant") == problems(lr_scheduler_type="constant", warmup_steps=0) == []
