"""What spreads a model over processes: what is refused, and that what was asked for is what runs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tunesmith import TunesmithError
from tunesmith.traits import ParallelTraits
from tunesmith_library_testing.parts import StubPlan
from tunesmith_library_training import processes
from tunesmith_trainer_transformers import Transformers


def problems(parallel: str = "", *, evaluator: bool = False, **options: Any) -> list[tuple[str | None, str]]:
    trainer = Transformers(**options)
    mine: dict[str, Any] = {"evaluator": {"quiz": None}} if evaluator else {}
    mine |= {"parallel": {"mine": SimpleNamespace(traits=ParallelTraits(spreads=parallel))}} if parallel else {}
    found = trainer.check(StubPlan({"trainer": {"transformers": trainer}, **mine}))
    return [(problem.key, f"{problem.message} {problem.advice}") for problem in found]


def test_accelerate_would_train_whole_copies_on_a_cpu() -> None:
    ((key, said),) = problems(fsdp="full_shard", use_cpu=True)
    assert key == "trainer.fsdp" and "whole copies" in said and "parallel=fsdp" in said


@pytest.mark.parametrize(
    ("optim", "parallel", "refused"),
    [("adafactor", "fsdp", True), ("adamw_torch_fused", "fsdp", False), ("adafactor", "", False)],
)
def test_an_optimizer_that_may_look_at_whole_weights(optim: str, parallel: str, refused: bool) -> None:
    assert [key for key, _ in problems(parallel, optim=optim)] == (["trainer.optim"] if refused else [])


@pytest.mark.parametrize(
    ("parallel", "options", "by"),
    [
        ("deepspeed", {}, "deepspeed"),
        ("", {"deepspeed": "z.json"}, "trainer.deepspeed"),
        ("", {"fsdp": "full_shard"}, "trainer.fsdp"),
        ("fsdp", {}, None),
        ("", {}, None),
    ],
)
def test_evaluators_of_a_model_that_cannot_answer(parallel: str, options: dict[str, Any], by: str | None) -> None:
    said = [message for key, message in problems(parallel, evaluator=True, **options) if key == "evaluator"]
    assert [f"and {by} has it in pieces" in message for message in said] == ([True] if by else [])


@pytest.mark.parametrize(("asked", "refused"), [("fsdp", True), ("deepspeed", True), ("", False)])
def test_what_was_asked_for_is_what_runs(monkeypatch: pytest.MonkeyPatch, asked: str, refused: bool) -> None:
    from tunesmith_trainer_transformers.asked import AsAsked

    monkeypatch.setattr(processes, "count", lambda: 2)
    looks: Any = AsAsked(SimpleNamespace(model_wrapped=torch.nn.Linear(2, 2)), asked)  # type: ignore[arg-type]
    if not refused:
        looks.on_train_begin(None, None, None)
        return
    with pytest.raises(TunesmithError, match=f"{asked} was asked for, and the trainer has a whole copy of the model"):
        looks.on_train_begin(None, None, None)
