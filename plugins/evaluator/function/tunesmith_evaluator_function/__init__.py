"""Answers measured by a function of the user's own, one by one: Python code that the user wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from tunesmith import hookimpl, plugin
from tunesmith.ranges import filled, path_like
from tunesmith.types import Problem
from tunesmith_library_evaluating import Evaluation, EvaluationData
from tunesmith_library_evaluating.asking import Asking

if TYPE_CHECKING:
    from tunesmith_library_engine.chatting import Chat

_KEY = "evaluator.function.function"


@plugin
class Function(Asking):
    """Calls `function` for each answer: it gives a number, true or false, or numbers by name; their means are told.

    It names the arguments that it needs: `prompt` (list of messages), `prediction` (text), `answer` (the expected one,
    or None), `row` (its other columns), `thought`, `calls` (of tools), `unfinished` (the thought never ended).
    """

    guarded: ClassVar[tuple[str, ...]] = ("function",)
    known_as: ClassVar[dict[str, str]] = {"path": "function"}

    function: Annotated[str, path_like]  # where the function is: my.py:score, or package.module:score
    lower_is_better: list[Annotated[str, filled]] = []  # names of numbers that are better when they are less

    @hookimpl
    def check(self, plan: Any) -> list[Problem]:
        from tunesmith_library_scoring.loading import problems_of

        return problems_of(self.function, _KEY)

    @hookimpl
    def evaluate(self, chat: Chat, data: EvaluationData) -> Evaluation:
        """Raises: DataError when there is nothing to measure; TunesmithError where the function fails, with the row."""
        from tunesmith_library_evaluating.answering import cut_short
        from tunesmith_library_evaluating.replies import replies
        from tunesmith_library_evaluating.statistics import mean

        from .calling import Scoring

        scoring = Scoring(self.function)
        metrics: dict[str, Any] = {}
        records: list[dict[str, Any]] = []
        for name, found in replies(chat, data, self, "function", lambda prompt: None).items():
            numbers = [scoring.numbers(it) for it in found]
            values = {each: [own[each] for own in numbers if each in own] for own in numbers for each in own}
            means = {
                each: mean(of_name, greater_is_better=each not in self.lower_is_better)
                for each, of_name in values.items()
            }
            metrics[name] = {**means, **cut_short([it.answer for it in found])}
            records += [it.record(**own) for it, own in zip(found, numbers, strict=True)]
        return Evaluation(metrics, records, {**self.settings(chat), "function": self.function})
