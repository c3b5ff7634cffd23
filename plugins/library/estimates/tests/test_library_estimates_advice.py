"""Which changes make a run fit: tried one by one, sorted by what they cost, and together where none is enough."""

from typing import ClassVar

import pytest
from tunesmith import plugin
from tunesmith.catalog import Catalog
from tunesmith.traits import ParallelTraits
from tunesmith_library_estimates.advice import advised
from tunesmith_library_estimates.changes import Change
from tunesmith_library_estimates.estimation import Estimate, Memory
from tunesmith_library_estimates.machines import Machine
from tunesmith_library_estimates.room import Room
from tunesmith_library_estimates.verdict import verdict
from tunesmith_library_estimates.wording import advice, conclusion
from tunesmith_library_testing.parts import StubPlan

CARD = Machine("card", "cuda", room=Room(100 * 2**30, 0.8), host=Room(64 * 2**30, 0.5))
CHECKPOINTS = Change(("trainer.checkpoints=true",), "time", "slower")
BATCHES = tuple(Change((f"trainer.batch={size}",), "nothing", "the same step") for size in (8, 4, 2))
SAVES = {"trainer.checkpoints=true": 20, "trainer.batch=8": 10, "trainer.batch=4": 15, "trainer.batch=2": 17}


def needing(size: float, on_host: float = 0.0, *changes: Change) -> Estimate:
    """An estimate of so many GB."""
    made = Estimate("bf16", machine=CARD).plus("weights elsewhere", Memory(size * 2**30, of="weights"))
    return made.plus("offloaded", Memory(on_host * 2**30, on_host=True)).offering(*changes)


def trials(start: float, saves: dict[str, float], wrong: tuple[str, ...] = ()):
    """A trial of a run that needs so many GB at first, of which each override saves some; and what was tried."""
    asked = []

    def trial(overrides):
        asked.append(tuple(overrides))
        if set(overrides) & set(wrong):
            return None
        return needing(start - sum(saves.get(override, 0) for override in overrides))

    return trial, asked


def test_the_cheapest_first_and_of_one_option_the_smallest_change_that_is_enough():
    trial, asked = trials(92, SAVES)
    found = advised(StubPlan({}), needing(92, 0, CHECKPOINTS, *BATCHES), trial, trial)
    assert [item.change.overrides[0] for item in found] == ["trainer.batch=4", "trainer.checkpoints=true"]
    assert [item.found.peak / 2**30 for item in found] == [77, 72]
    assert asked.count(("trainer.batch=2",)) == 1, "guessed, and not tried: what is enough was found"


@pytest.mark.parametrize(
    ("start", "saves", "overrides", "fits"),
    [
        (110, {}, ("trainer.checkpoints=true", "trainer.batch=2"), True),
        (120, {}, ("trainer.checkpoints=true", "trainer.batch=2"), False),
        (97, {}, ("trainer.batch=2",), True),
        (98, {}, ("trainer.checkpoints=true",), True),
        (115, {"trainer.checkpoints=true": 34}, ("trainer.checkpoints=true", "trainer.batch=2"), True),
    ],
)
def test_together_where_none_is_enough(start, saves, overrides, fits):
    trial, _ = trials(start, SAVES | saves)
    first, *_ = advised(StubPlan({}), needing(start, 0, CHECKPOINTS, *BATCHES), trial, trial)
    assert first.change.overrides == overrides and first.found.fits == fits


def test_options_of_a_plugin_are_not_named_with_another_plugin():
    """Each saves 30 alone, and no two of them can be made together; what stands beside them can."""
    clashing = [Change((word,), "method", "other") for word in ("adapter=thin", "adapter.rank=2", "adapter.rank=1")]
    saves = dict.fromkeys(("adapter=thin", "adapter.rank=2", "adapter.rank=1", "quantizer=four"), 30)
    other = Change(("quantizer=four",), "exactness", "rounded")
    trial, asked = trials(130, saves)
    (found,) = advised(StubPlan({}), needing(130, 0, *clashing, other), trial, trial)
    assert found.together and len(found.change.overrides) == 2 and "quantizer=four" in found.change.overrides
    assert not any({"adapter=thin", "adapter.rank=2"} <= set(words) for words in asked)


def test_what_is_wrong_or_saves_nothing_is_not_advised():
    trial, _ = trials(92, SAVES | {"trainer.batch=8": 0}, wrong=("trainer.checkpoints=true",))
    assert advised(StubPlan({}), needing(92, 0, CHECKPOINTS, BATCHES[0]), trial, trial) == []


@plugin
class Four:
    """A quantizer."""


@plugin
class Spreading:
    traits: ClassVar[ParallelTraits] = ParallelTraits(spreads="own")


@plugin
class Copies:
    """A launcher of processes that each have the whole model."""


@plugin
class Thin:
    """A third party's patch, which says itself what it is good for."""

    lighter: ClassVar[tuple[Change, ...]] = (Change(("patch.thin={}",), "exactness", "thinner layers"),)


@plugin
class Thick:
    """A patch that says nothing, and is not tried."""


def test_what_else_is_installed_is_tried():
    made = {"quantizer.four": Four, "parallel.spreading": Spreading, "parallel.copies": Copies}
    catalog = Catalog.of({**made, "patch.thin": Thin, "patch.thick": Thick})
    trial, asked = trials(92, {"quantizer=four": 30, "patch.thin={}": 20, "parallel.processes=4": 40})
    found = advised(StubPlan({}, catalog=catalog), needing(92), trial, trial)
    chosen = [" ".join(item.change.overrides) for item in found]
    assert chosen == [
        "quantizer=four",
        "patch.thin={}",
        "parallel=spreading parallel.processes=4 output_dir=runs/spread",
    ]
    assert ("parallel=spreading", "parallel.processes=2", "output_dir=runs/spread") in asked
    assert not any("copies" in word or "thick" in word for words in asked for word in words)
    selected = StubPlan({"quantizer": {"four": Four()}}, catalog=catalog)
    assert "quantizer=four" not in [item.change.overrides[0] for item in advised(selected, needing(92), trial, trial)]


def test_verdicts():
    assert conclusion(needing(60)) == "fits in 100 GB: peak 60 GB, 20 GB less than may be filled"
    assert conclusion(needing(60).without("x")).endswith("; without what is not in it")
    more = "does not fit in 100 GB: peak 92 GB, 12 GB more than the 80 GB that may be filled"
    assert conclusion(needing(92)) == more
    of_host = conclusion(needing(60, 33))
    assert (
        of_host
        == "does not fit in the memory of the host: 33 GB are needed of its 64 GB (60 GB of 100 GB on the device)"
    )
    unknown = Estimate("bf16", machine=Machine("x"))
    assert (
        verdict(unknown) is None and conclusion(unknown) == "whether it fits is not known: the memory of x is not known"
    )


def test_advice_in_words():
    estimate = needing(92, 0, CHECKPOINTS, *BATCHES)
    trial, _ = trials(92, SAVES)
    assert list(advice(estimate, advised(StubPlan({}), estimate, trial, trial))) == [
        "each of these makes it fit, the cheapest first:",
        "  trainer.batch=4",
        "    peak 77 GB; costs nothing: the same step",
        "  trainer.checkpoints=true",
        "    peak 72 GB; costs time: slower",
    ]
    assert list(advice(needing(60), [])) == []
    assert "need less" in next(advice(needing(92), []))
    trial, _ = trials(130, SAVES)
    larger = needing(130, 0, CHECKPOINTS, *BATCHES)
    assert "comes nearest" in next(advice(larger, advised(StubPlan({}), larger, trial, trial)))
