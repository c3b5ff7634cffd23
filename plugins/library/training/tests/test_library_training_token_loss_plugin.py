"""What a loss of tokens says of stages, and what it takes from them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from tunesmith.traits import StageTraits
from tunesmith_library_testing.parts import StubPlan
from tunesmith_library_training.token_loss_plugin import TokenLossPlugin

INSTALLED: dict[str, type] = {
    "texts": type("Texts", (), {"traits": StageTraits(token_loss=True)}),
    "chats": type("Chats", (), {"traits": StageTraits(token_loss=True)}),
    "pairs": type("Pairs", (), {"traits": StageTraits()}),
}


def plan_of(stage: Any, **values: Any) -> StubPlan:
    return StubPlan({"loss": {"mine": TokenLossPlugin()}, "stage": {"theirs": stage}}, values=values)


@pytest.mark.parametrize("installed", [INSTALLED, {}])
def test_stages(monkeypatch: pytest.MonkeyPatch, installed: dict[str, type]) -> None:
    monkeypatch.setattr(StubPlan, "installed", lambda plan, kind: installed)
    loss = TokenLossPlugin()
    assert loss.check(plan_of(SimpleNamespace(traits=StageTraits(token_loss=True)))) == []
    assert loss.check(StubPlan({}, command="chat")) == []
    (problem,) = loss.check(plan_of(SimpleNamespace()))
    assert problem.message == "loss=mine weighs the tokens of a text; stage=theirs does not."
    assert problem.advice == ("stages that do: chats, texts" if installed else "leave the loss out")


def test_chunk_size() -> None:
    loss = TokenLossPlugin()
    loss.configured(plan_of(None, **{"stage.loss_chunk_size": 7}))
    assert loss._chunk_size == 7
    loss.configured(plan_of(None))
    assert loss._chunk_size == 0
