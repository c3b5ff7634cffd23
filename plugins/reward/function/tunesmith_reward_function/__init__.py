"""A reward that is a function of the user's own: Python code that the user wrote, run in the training process."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar

from tunesmith import TunesmithError, hookimpl, plugin
from tunesmith.ranges import between, path_like
from tunesmith.types import Message, Problem


@plugin
class Function:
    """Calls `function(prompts, completions, rows)`, which gives one number per answer.

    `prompts` are conversations (lists of messages), `completions` texts, `rows` the other columns of each prompt.
    """

    guarded: ClassVar[tuple[str, ...]] = ("path",)

    weight: Annotated[float, between(-1_000_000, 1_000_000)] = 1.0  # multiplies the score
    path: Annotated[str, path_like]  # where the function is: rewards.py:brevity, or package.module:brevity

    _function: Callable[..., Any] | None = None

    @hookimpl
    def check(self, plan: Any) -> list[Problem]:
        from tunesmith_library_scoring.loading import problems_of

        return problems_of(self.path, "reward.function.path")

    @hookimpl
    def score(
        self, prompts: Sequence[Sequence[Message]], completions: Sequence[str], rows: Sequence[Mapping[str, Any]]
    ) -> list[float]:
        from tunesmith_library_scoring.loading import load

        if self._function is None:
            self._function = load(self.path, "reward.function")
        if not completions:
            return []
        scores = self._function(
            [[dict(message) for message in prompt] for prompt in prompts], list(completions), [dict(r) for r in rows]
        )
        return _checked(scores, len(completions), self.path)


def _checked(scores: Any, count: int, path: str) -> list[float]:
    """Plain numbers, one per answer.

    Raises: TunesmithError that says what the function gave instead.
    """
    try:
        values = [float(value) for value in scores]
    except (TypeError, ValueError) as error:
        raise TunesmithError(f"{path} gave {type(scores).__name__}, not a list of numbers: {error}") from error
    if len(values) != count:
        raise TunesmithError(f"{path} gave {len(values)} scores for {count} answers")
    wrong = next((index for index, value in enumerate(values) if not math.isfinite(value)), None)
    if wrong is not None:
        raise TunesmithError(f"{path} gave {values[wrong]} for answer {wrong} of the batch")
    return values
