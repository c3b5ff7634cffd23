"""A model has one attention: patches that say how it is computed exclude each other."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tunesmith.traits import PatchTraits
from tunesmith_library_testing.parts import StubPlan
from tunesmith_library_training.attention_patches import check_alone


def patch(attention: bool = True) -> Any:
    return SimpleNamespace(traits=PatchTraits(attention=attention))


def test_each_pair_is_reported_once() -> None:
    patches = {"first": patch(), "noise": patch(attention=False), "second": patch(), "silent": SimpleNamespace()}
    plan = StubPlan({"patch": patches})
    (problem,) = [found for each in patches.values() for found in check_alone(plan, each)]
    assert problem.key == "patch.second"
    assert problem.message == "patch.first and patch.second both say how attention is computed."


def test_alone() -> None:
    only = patch()
    assert check_alone(StubPlan({"patch": {"only": only, "noise": patch(attention=False)}}), only) == []
    assert check_alone(StubPlan({"patch": {"another": patch()}}), only) == []
    assert check_alone(StubPlan({}), only) == []
