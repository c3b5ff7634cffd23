"""What every reward keeps to."""

from __future__ import annotations

import copy
import math
from typing import Any, ClassVar

import pytest
from tunesmith.options import options

from tunesmith_library_testing.suites.plugin import PluginSuite

PROMPT = ({"role": "user", "content": "Which animal sings in the sea?"},)


class RewardSuite(PluginSuite):
    """The tests of a `reward` plugin: one answer that it likes, one that it does not."""

    kind = "reward"
    row: ClassVar[dict[str, Any]] = {}  # the columns beside the prompt that the reward reads, such as `answer`
    better: ClassVar[str]  # an answer that earns more
    worse: ClassVar[str]  # than this one

    def score(self, completions: list[str], **overrides: Any) -> list[float]:
        """What the hook gives for answers to one prompt; overrides are options."""
        prompts = [[dict(message) for message in PROMPT] for _ in completions]
        rows = [copy.deepcopy(self.row) for _ in completions]
        (scores,) = self.manager(**overrides).hook.score(prompts=prompts, completions=completions, rows=rows)
        return scores

    def test_scores(self) -> None:
        """One finite Python number per answer, in the order of the answers; the better one earns more."""
        scores = self.score([self.better, self.worse, self.better])
        assert isinstance(scores, list) and len(scores) == 3
        assert all(isinstance(value, int | float) and math.isfinite(value) for value in scores), scores
        assert scores[0] > scores[1], f"better: {scores[0]}, worse: {scores[1]}"
        assert scores[2] == pytest.approx(scores[0])

    def test_each_answer_alone(self) -> None:
        """An answer's score does not depend on the others of its batch."""
        together = self.score([self.worse, self.better])
        alone = [self.score([answer])[0] for answer in (self.worse, self.better)]
        same = together == pytest.approx(alone, rel=1e-4, abs=1e-6)
        assert same, f"two answers score {together} together, and {alone} each by itself"

    def test_weight(self) -> None:
        """A `weight` does not change the score: whoever asked for it multiplies."""
        if "weight" not in {option.name for option in options(self.plugin)}:
            pytest.skip("this reward has no weight and counts once")
        answers = [self.better, self.worse]
        assert self.score(answers, weight=2.0) == pytest.approx(self.score(answers, weight=1.0))

    def test_empty_answer(self) -> None:
        """A model that says nothing is scored too, without an error."""
        (value,) = self.score([""])
        assert isinstance(value, int | float) and math.isfinite(value), f"an empty answer scores {value!r}, no number"

    def test_no_answers(self) -> None:
        """No answers, no scores."""
        assert self.score([]) == []

    def test_arguments_stay_as_they_are(self) -> None:
        """The caller's prompts and rows are not changed."""
        prompts, rows = [[dict(message) for message in PROMPT]], [copy.deepcopy(self.row)]
        self.manager().hook.score(prompts=prompts, completions=[self.better], rows=rows)
        assert prompts == [list(PROMPT)] and rows == [self.row]
