"""A reward against answers that go round in circles: `reward=[varied.py:Varied]`."""

from typing import Annotated

from tunesmith import hookimpl, plugin
from tunesmith.ranges import at_least, between


@plugin
class Varied:
    """The share of an answer's runs of words that it has not said before; 0 for an empty answer."""

    weight: Annotated[float, between(-1_000, 1_000)] = 1.0  # multiplies the score
    words: Annotated[int, at_least(1, most=100)] = 3  # of a run

    @hookimpl
    def score(self, completions: list[str]) -> list[float]:
        return [self._share(answer.split()) for answer in completions]

    def _share(self, said: list[str]) -> float:
        runs = [tuple(said[start : start + self.words]) for start in range(max(1, len(said) - self.words + 1))]
        return len(set(runs)) / len(runs) if said else 0.0
