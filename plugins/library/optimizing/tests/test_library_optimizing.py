"""What optimizers do not go with, parameter groups, and weights that are updated one after the other."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from tunesmith.traits import AdapterTraits
from tunesmith.types import OptimizerSettings
from tunesmith_library_optimizing.checks import (
    needs_models_weights,
    needs_one_backward,
    needs_one_process,
    needs_projected_gradients,
    needs_whole_weights,
)
from tunesmith_library_optimizing.groups import adam_defaults, by_decay, weight_groups
from tunesmith_library_optimizing.per_weight import PerWeight, adam_direction, optimizer_of
from tunesmith_library_testing.parts import StubPlan, collate, examples, load_plain, mean_loss

SETTINGS = OptimizerSettings(1e-2, 0.1, 0.9, 0.999, 1e-8)


class Adam(PerWeight):
    """AdamW, as a subclass says it."""

    def update(self, weight: Tensor, gradient: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        state["step"] = state.get("step", 0) + 1
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.add_(adam_direction(gradient, state, group["betas"], group["eps"]), alpha=-group["lr"])


def adapter(**traits: bool) -> Any:
    return SimpleNamespace(traits=AdapterTraits(**traits))


@pytest.mark.parametrize(
    ("plugins", "refused"),
    [
        ({}, False),
        ({"adapter": {"silent": None}}, False),
        ({"adapter": {"mine": adapter(whole=True)}}, False),
        ({"adapter": {"mine": adapter(beside=True)}}, True),
    ],
)
def test_an_adapter_beside_the_model_leaves_no_weights_of_the_models(plugins: Any, refused: bool) -> None:
    """Whatever it is called."""
    problems = needs_models_weights(StubPlan(plugins), "adapter={adapter} trains none.")
    assert [problem.message for problem in problems] == (["adapter=mine trains none."] if refused else [])
    assert [problem.key for problem in needs_projected_gradients(StubPlan(plugins), "mine", layerwise=False)] == (
        ["optimizer"] if refused else []
    )


def test_sharded_weights() -> None:
    plan = StubPlan({}, values={"trainer.fsdp": "full_shard", "trainer.deepspeed": "zero.json"})
    found = needs_whole_weights(plan, "optimizer=mine looks at rows")
    assert [problem.key for problem in found] == ["trainer.fsdp", "trainer.deepspeed"]
    assert found[0].message == "optimizer=mine looks at rows, and trainer.fsdp cuts them in pieces."
    assert [problem.key for problem in needs_whole_weights(plan, "it", ["fsdp"])] == ["trainer.fsdp"]
    assert needs_whole_weights(StubPlan({}), "it") == []


def test_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert needs_one_process(StubPlan({}), "{processes} cannot", "one") == []
    monkeypatch.setenv("WORLD_SIZE", "3")
    (problem,) = needs_one_process(StubPlan({}), "{processes} cannot", "one")
    assert (problem.key, problem.message, problem.advice) == ("optimizer", "3 cannot", "one")
    assert [problem.key for problem in needs_one_backward(StubPlan({}), "mine")] == ["optimizer.layerwise"]


def test_vectors_are_not_decayed(tiny_llama: Any) -> None:
    model = load_plain(tiny_llama)
    matrices, vectors = by_decay(model.parameters(), 0.1)
    assert matrices["weight_decay"] == 0.1 and vectors["weight_decay"] == 0.0
    assert {weight.ndim for weight in matrices["params"]} == {2} and {w.ndim for w in vectors["params"]} == {1}
    assert by_decay([], 0.1) == [] and len(by_decay(vectors["params"], 0.1)) == 1


def test_projected_groups(tiny_llama: Any) -> None:
    """Large matrices of linear layers but the head; those that are no larger than the rank are trained whole."""
    model = load_plain(tiny_llama)
    groups, count = weight_groups(model, SETTINGS, "all", 8, {"rank": 8})
    assert count == 14 and [group.get("rank") for group in groups] == [8, None, None]
    held = {id(weight) for group in groups for weight in group["params"]}
    assert held == {id(weight) for weight in model.parameters()}
    groups, count = weight_groups(model, SETTINGS, "all", 10_000, {"rank": 10_000})
    assert count == 0 and all("rank" not in group for group in groups)


@pytest.mark.parametrize("layerwise", [False, True])
def test_one_weight_after_the_other_is_torchs_adamw(tiny_llama: Any, tiny_bpe: Any, layerwise: bool) -> None:
    """In `step`, and inside the backward pass, after which no gradient is left."""
    model, batch = load_plain(tiny_llama), collate(examples(tiny_bpe))
    twin = copy.deepcopy(model)
    ours = Adam(by_decay(model.parameters(), SETTINGS.weight_decay), adam_defaults(SETTINGS))
    theirs = torch.optim.AdamW(by_decay(twin.parameters(), SETTINGS.weight_decay), lr=1e-2)
    if layerwise:
        ours.update_in_backward()
    for _ in range(3):
        for network, optimizer in ((model, ours), (twin, theirs)):
            mean_loss(network, batch).backward()
            if network is model and layerwise:
                assert all(weight.grad is None for weight in model.parameters())
            optimizer.step()
            optimizer.zero_grad()
    for weight, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(weight, other, rtol=1e-4, atol=1e-5)


def test_an_optimizer_of_a_function() -> None:
    """It is called for each trained weight, with the schedule's rate; vectors have no decay; its state is saved."""
    model = torch.nn.Linear(2, 2)
    settings = OptimizerSettings(0.5, 0.1, 0.9, 0.999, 1e-8)
    seen = []

    def update(weight: Any, gradient: Any, group: dict[str, Any], state: dict[str, Any]) -> None:
        seen.append((weight.ndim, group["lr"], group["weight_decay"]))
        state["count"] = state.get("count", 0) + 1

    optimizer = optimizer_of(model, settings, update)
    optimizer.param_groups[0]["lr"] = 0.25
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert seen == [(2, 0.25, 0.1), (1, 0.5, 0.0)]
    assert [state["count"] for state in optimizer.state_dict()["state"].values()] == [1, 1]
