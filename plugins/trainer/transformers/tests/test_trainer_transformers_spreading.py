"""What spreads a model over processes: what is refused, and that what was asked for is what runs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tunesmith import TunesmithError
from tunesmith.traits import ParallelTraits
from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_estimates.machines import Machine
from tunesmith_library_estimates.training import gradients, optimizer_states
from tunesmith_library_testing.parts import StubPlan
from tunesmith_library_training import processes
from tunesmith_trainer_transformers import Transformers
from tunesmith_trainer_transformers.spreading import estimate_spreading


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


def spread(count: int, **options: Any) -> Estimate:
    """1,000 weights in float32, all of them trained, on a machine of so many GPUs."""
    weights = (Weight("model.layers.0.mlp.up_proj.weight", (100, 10), "linear", 32, True),)
    made = Estimate("bf16", weights, hidden_size=10, machine=Machine("", "cuda", count))
    made = optimizer_states(gradients(made, accumulates=False), 2)
    return estimate_spreading(Transformers(**options), made, StubPlan({}))


def test_what_transformers_spreads_itself_is_planned(tmp_path: Path) -> None:
    file = tmp_path / "zero.json"
    file.write_text('{"zero_optimization": {"stage": 3}}')
    assert spread(4, fsdp="full_shard").bytes("step")["weights"] == 1_000
    assert spread(4, fsdp="full_shard offload").bytes("step", on_host=True)["weights"] == 4_000
    assert spread(4, deepspeed=str(file)).bytes("step")["weights"] == 500
    assert spread(4).bytes("step")["weights"] == 4_000
    (unknown,) = spread(1, fsdp="full_shard").unknown
    assert "torchrun" in unknown
