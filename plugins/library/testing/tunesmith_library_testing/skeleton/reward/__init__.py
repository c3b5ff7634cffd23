"""A reward for brevity: answers of up to so many words earn everything, longer ones less and less."""

from collections.abc import Sequence
from typing import Any

from tunesmith import hookimpl, plugin
from tunesmith.types import Problem


@plugin
class Placeholder:
    """1 for an answer of up to `words` words, words / length for a longer one, 0 for none."""

    weight: float = 1.0  # multiplies the score
    words: int = 50  # how long an answer may be

    @hookimpl
    def check(self, plan: Any) -> list[Problem]:
        if self.words >= 1:
            return []
        return [Problem("reward.placeholder.words", f"{self.words} words are no answer.", "choose 1 or more")]

    @hookimpl
    def score(self, completions: Sequence[str]) -> list[float]:
        return [self.weight * self._brevity(len(answer.split())) for answer in completions]

    def _brevity(self, length: int) -> float:
        return min(1.0, self.words / length) if length else 0.0
