"""One answer while it is computed."""

from __future__ import annotations

from dataclasses import dataclass, field

from tunesmith.types import Request, Sampling
from tunesmith_library_engine import StreamedAnswer
from tunesmith_library_engine.constraints import Constraint
from tunesmith_library_engine.working import Growing
from tunesmith_library_llamacpp.sampling import Sampler


@dataclass(eq=False)
class Row(Growing):
    """A request, how far its answer is, and what ends it."""

    request: Request
    sampling: Sampling  # of the request, with what it left open
    seed: int
    limit: int  # tokens that the answer may have
    ends: frozenset[int]  # tokens that end it
    constraint: Constraint | None = None  # the grammar that it follows
    answer: StreamedAnswer = field(default_factory=StreamedAnswer)
    made: list[int] = field(default_factory=list)  # the tokens of the answer
    computed: int = 0  # tokens of prompt and answer that the memory has
    sequence: int = -1  # where in the memory; -1: nowhere yet
    sampler: Sampler | None = None  # of one that has a place

    @property
    def room(self) -> int:
        """Tokens that it may come to have in the memory."""
        return len(self.request.prompt) + self.limit

    @property
    def length(self) -> int:
        """Tokens of the prompt, and of what there is of the answer."""
        return len(self.request.prompt) + len(self.made)

    def token(self, place: int) -> int:
        """A token of the prompt, or behind it of the answer."""
        prompt = self.request.prompt
        return prompt[place] if place < len(prompt) else self.made[place - len(prompt)]
