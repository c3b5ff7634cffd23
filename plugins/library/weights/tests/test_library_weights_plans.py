"""Plans judged by what the selected quantizer says it can do with the weights."""

from __future__ import annotations

from typing import Any

import pytest
from tunesmith.traits import AdapterTraits, QuantizerTraits
from tunesmith_library_testing.parts import StubPlan
from tunesmith_library_weights.plans import few_bits, suitable, unmergeable


class Silent:
    """A quantizer that does not say what it can do."""


def plan(quantizer: Any = None, command: str = "train", adapter: str = "full") -> Any:
    plugins = {"adapter": {adapter: None}}
    if quantizer is not None:
        plugins["quantizer"] = {"some": quantizer}
    return StubPlan(plugins, command)


def able(**changes: Any) -> Any:
    """A quantizer that says what it can do."""
    quantizer: Any = Silent()
    quantizer.traits = QuantizerTraits(**{"bits": (4, 8), "devices": ("cpu",), **changes})
    return quantizer


def test_without_a_quantizer_all_is_possible() -> None:
    assert few_bits(plan()) == unmergeable(plan(), "quantizer", "{quantizer}", "") == []


@pytest.mark.parametrize("quantizer", [Silent(), None])
def test_one_that_says_nothing_trains_adapters_and_no_more(quantizer: Any) -> None:
    found = StubPlan({"adapter": {"full": None}, "quantizer": {"some": quantizer}})
    (problem,) = few_bits(found)
    assert (problem.key, problem.message) == (
        "adapter.name",
        "adapter=full cannot train the few bits that quantizer=some stores.",
    )
    (problem,) = unmergeable(found, "adapter.path", "no merging into {quantizer}", "take another")
    assert (problem.key, problem.message, problem.advice) == ("adapter.path", "no merging into some", "take another")


def test_what_is_no_capabilities_counts_for_nothing_said() -> None:
    quantizer = Silent()
    quantizer.traits = ["trains", "merges"]
    assert few_bits(plan(quantizer)) and unmergeable(plan(quantizer), "quantizer", "{quantizer}", "")


def test_adapters_of_whole_weights_need_whole_weights() -> None:
    (problem,) = few_bits(plan(able(), adapter="llama_pro"), "copy and train")
    assert problem.message.startswith("adapter=llama_pro cannot copy and train the few bits")
    assert few_bits(plan(able(trains_base=True))) == []
    assert few_bits(plan(able(), "chat")) == [], "what was trained whole may be served in few bits"


def test_merging_where_the_quantizer_can() -> None:
    assert unmergeable(plan(able()), "quantizer", "{quantizer}", "")
    assert unmergeable(plan(able(merges=True)), "quantizer", "{quantizer}", "") == []


def test_what_would_suit_is_what_is_installed_and_says_so() -> None:
    """Third parties' plugins are named as ours are; one that says nothing suits nobody."""

    class Mine:
        traits = AdapterTraits(beside=True)

    class Plan(StubPlan):
        def installed(self, kind: str) -> dict[str, type]:
            return {"mine": Mine, "silent": Silent, "yours": type("Yours", (Mine,), {})} if kind == "adapter" else {}

    found = Plan({"adapter": {"full": None}, "quantizer": {"some": None}})
    assert suitable(found, "adapter", lambda traits: traits.beside) == "adapter=mine or adapter=yours"
    assert suitable(found, "quantizer", lambda traits: True) == ""
    (problem,) = few_bits(found)
    assert problem.advice == "adapter=mine or adapter=yours, or quantizer=null"
