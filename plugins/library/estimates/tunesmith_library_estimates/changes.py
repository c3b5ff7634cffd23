"""Single changes of a configuration that make a run need less: plugins offer them, and the planner tries each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Cost = Literal["nothing", "time", "exactness", "method", "hardware"]
"""What a change costs: nothing; time; numbers that are a little less exact; another method or less of the data; more
machines."""

COSTS: tuple[Cost, ...] = ("nothing", "time", "exactness", "method", "hardware")


@dataclass(frozen=True)
class Change:
    """Overrides that are tried together as one change."""

    overrides: tuple[str, ...]  # as they are typed: `trainer.per_device_train_batch_size=4`
    cost: Cost
    costs: str  # in words: `the same numbers, about 30 % slower`
