"""Plans judged by what the selected quantizer says it can do."""

import pytest
from tunesmith.assemble import examine
from tunesmith.capable import few_bits, unmergeable, untrainable
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


def test_without_a_quantizer_all_is_possible():
    found = plan()
    assert found.traits("quantizer") is None
    assert untrainable(found) == few_bits(found) == unmergeable(found, "quantizer", "{quantizer}", "") == []


@pytest.mark.parametrize("quantizer", [Silent(), None])
def test_one_that_says_nothing_trains_adapters_and_no_more(quantizer):
    found = StubPlan({"adapter": {"full": None}, "quantizer": {"some": quantizer}})
    assert untrainable(found) == []
    (problem,) = few_bits(found)
    assert (problem.key, problem.message) == (
        "adapter.name",
        "adapter=full cannot train the few bits that quantizer=some stores.",
    )
    (problem,) = unmergeable(found, "adapter.path", "no merging into {quantizer}", "take another")
    assert (problem.key, problem.message, problem.advice) == ("adapter.path", "no merging into some", "take another")


def test_what_is_no_capabilities_counts_for_nothing_said():
    quantizer = Silent()
    quantizer.traits = ["trains", "merges"]
    assert few_bits(plan(quantizer)) and unmergeable(plan(quantizer), "quantizer", "{quantizer}", "")


def test_training_over_weights_that_pass_no_gradient():
    (problem,) = untrainable(plan(able(trains=False)))
    assert problem.key == "quantizer.name" and "quantizer=some, which pass no gradient" in problem.message
    assert untrainable(plan(able(trains=False), "chat")) == untrainable(plan(able())) == []


def test_adapters_of_whole_weights_need_whole_weights():
    (problem,) = few_bits(plan(able(), adapter="llama_pro"), "copy and train")
    assert problem.message.startswith("adapter=llama_pro cannot copy and train the few bits")
    assert few_bits(plan(able(trains_base=True))) == []
    assert few_bits(plan(able(), "chat")) == [], "what was trained whole may be served in few bits"


def test_merging_where_the_quantizer_can():
    assert unmergeable(plan(able()), "quantizer", "{quantizer}", "")
    assert unmergeable(plan(able(merges=True)), "quantizer", "{quantizer}", "") == []


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
