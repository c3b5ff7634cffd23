"""The answers to one question, and its numbers."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith_library_evaluating.answering import Answered
from tunesmith_library_evaluating.replies import Asked

CUT = ("unfinished", "truncated")  # numbers of which less is better
_SLACK = 1e-9  # of sums of rewards


@dataclass(frozen=True)
class Question:
    """A question with its answers and their scores."""

    asked: Asked
    answers: Sequence[Answered]
    scores: Sequence[float]
    threshold: float  # from which score on an answer is right

    @property
    def right(self) -> list[bool]:
        """Which answers are right; an unfinished thought is none."""
        return [
            score >= self.threshold - _SLACK and not answer.unfinished
            for score, answer in zip(self.scores, self.answers, strict=True)
        ]

    def numbers(self, k: Sequence[int], vote: str | None) -> dict[str, float]:
        """avg@n, the mean score, pass@k, with a vote maj@n, and the shares of answers that were cut."""
        count, right = len(self.answers), self.right
        found = {f"avg_at_{count}": sum(right) / count, "score": math.fsum(self.scores) / count}
        found |= {f"pass_at_{each}": pass_at_k(count, sum(right), each) for each in k}
        if vote is not None:
            found[f"maj_at_{count}"] = majority([agreed_on(answer.text, vote) for answer in self.answers], right)
        return found | {name: sum(getattr(answer, name) for answer in self.answers) / count for name in CUT}

    def record(self, numbers: dict[str, float]) -> dict[str, Any]:
        """What is told of it: its place, its numbers, and all its answers."""
        prompt = self.asked.prompt
        place = {"dataset": prompt.dataset, "index": self.asked.index}
        shown = {"prompt": prompt.messages, **prompt.places, "answer": prompt.answer}
        return {**place, **numbers, **shown, "predictions": [self._told(at) for at in range(len(self.answers))]}

    def _told(self, at: int) -> dict[str, Any]:
        answer = self.answers[at]
        thought = {"thought": answer.thought} if answer.thought else {}
        return {"prediction": answer.text, **thought, "score": self.scores[at], "right": self.right[at]}


def pass_at_k(n: int, right: int, k: int) -> float:
    """The probability that one of k answers, drawn from n without replacement of which some are right, is right: the
    estimator of Chen et al. 2021 (arXiv 2107.03374, equation 1), which is unbiased."""
    return 1.0 - math.comb(n - right, k) / math.comb(n, k)


def majority(said: Sequence[str], right: Sequence[bool]) -> float:
    """Whether what most answers agree on is right (Wang et al. 2022, arXiv 2203.11171); of several that as many agree
    on, the share that is right. Empty ones do not vote, and where none votes nothing is right."""
    votes = Counter(filter(None, said))
    if not votes:
        return 0.0
    most = [each for each, count in votes.items() if count == max(votes.values())]
    judged = {each: [good for one, good in zip(said, right, strict=True) if one == each] for each in most}
    return math.fsum(sum(found) / len(found) for found in judged.values()) / len(judged)


def agreed_on(text: str, pattern: str) -> str:
    """What an answer votes for: the first group of the pattern's last match, or all of it, in one form of letters."""
    matches = list(re.finditer(pattern, text, re.DOTALL))
    if not matches:
        return ""
    return " ".join((matches[-1][1 if matches[-1].re.groups else 0] or "").casefold().split())
