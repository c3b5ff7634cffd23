"""One answer while it is computed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tunesmith.types import Request
from tunesmith_library_engine import StreamedAnswer
from tunesmith_library_engine.constraints import Constraint
from tunesmith_library_engine.working import Growing

from .settings import Choice


@dataclass(eq=False)
class Row(Growing):
    """A request, how far its answer is, and what ends it. A row can be taken out of a batch and go on in another."""

    request: Request
    choice: Choice
    limit: int  # tokens that the answer may have
    ends: frozenset[int]  # tokens that end it
    random: random.Random  # its own random numbers, the same on every device
    constraint: Constraint | None = None  # the grammar that it follows
    answer: StreamedAnswer = field(default_factory=StreamedAnswer)
    made: list[int] = field(default_factory=list)  # the tokens of the answer

    @property
    def ids(self) -> list[int]:
        """The prompt and what there is of the answer."""
        return [*self.request.prompt, *self.made]

    def goes_with(self, other: Row) -> bool:
        """Whether both can be computed in one batch: with the same weights, and without tensors of their own."""
        return self.request.adapter == other.request.adapter and not (self.request.inputs or other.request.inputs)
