"""Rewards asked outside a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pluggy
from tunesmith import TunesmithError, hookspecs
from tunesmith_library_configuration.scoring import numbers
from tunesmith_library_evaluating.answering import Answered
from tunesmith_library_evaluating.prompts import Prompt


class Judge:
    """What rewards make of answers.

    Args:
        rewards: plugins by name; the score of an answer is their sum, each times its `weight`, as in a training.
        threshold: from which score on an answer is right.
    """

    def __init__(self, rewards: Mapping[str, Any], threshold: float) -> None:
        self._rewards, self._threshold = rewards, threshold
        self._hooks = {name: _hook(plugin) for name, plugin in rewards.items()}

    def scores(self, prompts: Sequence[Prompt], answers: Sequence[Answered]) -> list[float]:
        """The score of each answer. A thought that never ended said nothing."""
        return self._scored(prompts, [answer.text for answer in answers])

    def try_out(self, prompt: Prompt) -> None:
        """Judge an empty answer, so that a reward says what a row lacks.

        Raises: DataError.
        """
        self._scored([prompt], [""])

    def _scored(self, prompts: Sequence[Prompt], texts: Sequence[str]) -> list[float]:
        asked = {
            "prompts": [prompt.messages for prompt in prompts],
            "completions": list(texts),
            "rows": [_row(prompt) for prompt in prompts],
        }
        sums = [0.0] * len(texts)
        for name, hook in self._hooks.items():
            found = hook(**asked)
            if not found:
                raise TunesmithError(f"reward.{name} judges no answers: it has no hook `score`")
            weight = float(getattr(self._rewards[name], "weight", 1.0))
            values = numbers(found[0], texts, f"reward.{name}")
            sums = [total + weight * value for total, value in zip(sums, values, strict=True)]
        return sums


def _hook(plugin: Any) -> Any:
    """The caller of one reward's hook, which passes the arguments that it names."""
    manager = pluggy.PluginManager("tunesmith")
    manager.add_hookspecs(hookspecs)
    manager.register(plugin)
    return manager.hook.score


def _row(prompt: Prompt) -> dict[str, Any]:
    """The columns beside the prompt; where no column is the answer, the expected one is."""
    return prompt.columns if prompt.answer is None else {"answer": prompt.answer, **prompt.columns}
