"""Plans that the selected quantizer cannot carry out."""

import pytest
from tunesmith.assemble import examine
from tunesmith.capable import untrainable
from tunesmith.compose import compose
from tunesmith.traits import QuantizerTraits
from tunesmith_library_testing.parts import StubPlan


class Silent:
    """A quantizer that does not say what it can do."""


def plan(quantizer=None, command="train", adapter="full"):
    plugins = {"adapter": {adapter: None}}
    if quantizer is not None:
        plugins["quantizer"] = {"some": quantizer}
    return StubPlan(plugins, command)


def able(**changes):
    """A quantizer that says what it can do."""
    quantizer = Silent()
    quantizer.traits = QuantizerTraits(**{"bits": (4, 8), "devices": ("cpu",), **changes})
    return quantizer


@pytest.mark.parametrize("quantizer", [Silent(), None])
def test_one_that_says_nothing_trains_adapters(quantizer):
    assert untrainable(StubPlan({"adapter": {"full": None}, "quantizer": {"some": quantizer}})) == []


def test_without_a_quantizer_all_is_possible():
    assert plan().traits("quantizer") is None and untrainable(plan()) == []


def test_training_over_weights_that_pass_no_gradient():
    (problem,) = untrainable(plan(able(trains=False)))
    assert problem.key == "quantizer.name" and "quantizer=some, which pass no gradient" in problem.message
    assert untrainable(plan(able(trains=False), "chat")) == untrainable(plan(able())) == []


@pytest.mark.parametrize(("trains", "command", "count"), [(False, "train", 1), (True, "train", 0), (False, "chat", 0)])
def test_every_plan_is_judged(catalog, monkeypatch, tmp_path, trains, command, count):
    """The kernel asks by itself: a quantizer needs no check of its own."""
    monkeypatch.chdir(tmp_path)
    _, problems, _ = examine(compose({"model": {"path": str(tmp_path)}, "quantizer": "hqq"}), command, catalog)
    before = [problem.message for problem in problems]
    cls = catalog.load(catalog.find("quantizer", "hqq"))
    monkeypatch.setattr(cls, "traits", QuantizerTraits((4,), ("cpu",), trains=trains), raising=False)
    _, problems, _ = examine(compose({"model": {"path": str(tmp_path)}, "quantizer": "hqq"}), command, catalog)
    new = [problem.message for problem in problems if problem.message not in before]
    assert len(new) == count and all("pass no gradient" in message for message in new)
