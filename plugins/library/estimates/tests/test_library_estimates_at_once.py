"""How many examples go through at once, where that is left open."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tunesmith_library_estimates.at_once import settle_at_once
from tunesmith_library_estimates.estimation import Estimate, Memory, Weight
from tunesmith_library_estimates.machines import Machine
from tunesmith_library_estimates.room import Room

_WEIGHT = Weight("model.layers.0.mlp.up_proj.weight", (100, 100), "linear", 32, trained=True)
_OPEN = Estimate(
    "fp32",
    (_WEIGHT,),
    sequences=12,
    of_step=12,
    length=10,
    memory={
        "gradients": Memory(40_000, phases=("backward", "step"), of="gradients"),
        "activations": Memory(0, 1_000, ("forward",), "activations"),
    },
)


@pytest.mark.parametrize(("room", "size"), [(160_000.0, 12), (145_000.0, 6), (102_000.0, 2), (10.0, 1)])
def test_the_largest_that_fits(room: float, size: int) -> None:
    """12 at once need 160,000 bytes; of fewer, gradients of the passes before stand beside: 80,000 and 10,000 each."""
    made = settle_at_once(replace(_OPEN, machine=Machine(room=Room(room, 1.0))))
    assert (made.sequences, made.accumulated, made.of_step) == (size, 12 // size, 0)
    assert f"auto: {size} of the 12 examples" in made.shares[-1]


def test_pairs_count_twice_and_unknown_rooms_are_said() -> None:
    made = settle_at_once(replace(_OPEN, sequences=24, per_example=2))
    assert made.sequences == 12 and made.accumulated == 2 and "not known" in made.shares[-1]
    settled = replace(_OPEN, of_step=0)
    assert settle_at_once(settled) is settled
