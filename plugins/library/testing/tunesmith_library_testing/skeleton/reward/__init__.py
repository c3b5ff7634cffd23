"""A reward for brevity: answers of up to so many words earn everything, longer ones less and less."""

from collections.abc import Sequence
from typing import Annotated

from tunesmith import hookimpl, plugin
from tunesmith.ranges import at_least, between


@plugin
class Placeholder:
    """1 for an answer of up to `words` words, words / length for a longer one, 0 for none."""

    weight: Annotated[float, between(-1_000_000, 1_000_000)] = 1.0  # multiplies the score
    words: Annotated[int, at_least(1, most=1_000_000)] = 50  # how long an answer may be

    @hookimpl
    def score(self, completions: Sequence[str]) -> list[float]:
        return [self._brevity(len(answer.split())) for answer in completions]

    def _brevity(self, length: int) -> float:
        return min(1.0, self.words / length) if length else 0.0
