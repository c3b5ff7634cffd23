"""How many examples go through at once, where that is left open."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from tunesmith_library_estimates.at_once import settled_at_once
from tunesmith_library_estimates.estimation import Estimate, Memory, Weight
from tunesmith_library_estimates.machines import Machine
from tunesmith_library_estimates.room import Room

_WEIGHT = Weight("model.layers.0.mlp.up_proj.weight", (100, 100), "linear", 32, trained=True)


class Run:
    """A run of 12 examples in a step, of 10 tokens, and what was asked of it."""

    def __init__(self, room: float | None) -> None:
        self.machine = Machine(room=None if room is None else Room(room, 1.0))
        self.asked: list[int] = []

    def ask(self, at_once: int) -> Estimate:
        """Of a batch a part is bytes that are counted when it is asked, as the logits are."""
        self.asked.append(at_once)
        size = at_once or 12
        passes = math.ceil(12 / size)
        made = Estimate("fp32", (_WEIGHT,), sequences=size, accumulated=passes, of_step=12, length=10)
        made = replace(made, machine=self.machine)
        phases = ("forward", "backward", "step") if passes > 1 else ("backward", "step")
        made = made.plus("gradients", Memory(40_000, phases=phases, of="gradients"))  # type: ignore[arg-type]
        made = made.plus("logits", Memory(5_000 * size, phases=("forward",), of="activations"))
        return made.plus("activations", Memory(0, 500, ("forward",), "activations"))


@pytest.mark.parametrize(("room", "size"), [(160_000.0, 12), (145_000.0, 6), (102_000.0, 2), (10.0, 1)])
def test_the_largest_that_fits(room: float, size: int) -> None:
    """12 at once need 160,000 bytes; of fewer, gradients of the passes before stand beside: 80,000 and 10,000 each."""
    run = Run(room)
    made = settled_at_once(run.ask)
    assert (made.sequences, made.accumulated) == (size, 12 // size)
    assert f"auto: {size} of the 12 examples" in made.shares[-1]
    assert ("does not fit" in made.shares[-1]) == (room == 10)
    assert len(run.asked) <= 6, "sizes are found by halving"


def test_unknown_rooms_are_said_and_what_is_written_is_left_alone() -> None:
    made = settled_at_once(Run(None).ask)
    assert made.sequences == 6 and "not known" in made.shares[-1]
    settled = replace(made, of_step=0, shares=())
    assert settled_at_once(lambda at_once: settled) is settled
