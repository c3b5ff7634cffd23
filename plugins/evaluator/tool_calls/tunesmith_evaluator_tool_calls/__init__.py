"""Tools that a model calls: whether the calls can be carried out, and whether they are the expected ones."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tunesmith import hookimpl, plugin
from tunesmith.traits import EvaluatorTraits
from tunesmith_library_evaluating import Evaluation, EvaluationData
from tunesmith_library_evaluating.asking import Asking

if TYPE_CHECKING:
    from tunesmith_library_engine.chatting import Chat
    from tunesmith_library_evaluating.prompts import Prompt

_BETTER = ("accuracy", "valid", "name_accuracy", "call_accuracy", "argument_accuracy")
_WORSE = ("missed", "needless", "unfinished", "truncated")
_METRICS = {**dict.fromkeys(_BETTER, True), **dict.fromkeys(_WORSE, False)}


@plugin
class ToolCalls(Asking):
    """Valid calls, right functions, right arguments, calls that are missing or needless (rows with tools)."""

    # all: each turn of the assistant is asked for, behind the turns before it as the data have them; last: the last one
    turns: Literal["all", "last"] = "all"

    traits: ClassVar[EvaluatorTraits] = EvaluatorTraits(
        metrics={f"tool_calls_{name}": greater for name, greater in _METRICS.items()}
    )

    @hookimpl
    def evaluate(self, chat: Chat, data: EvaluationData) -> Evaluation:
        """Raises: DataError when no row has tools and an answer, or for tools that are none, with their place."""
        from tunesmith_library_evaluating.answering import cut_short
        from tunesmith_library_evaluating.replies import asked_of, replies

        from .judging import judged, measured
        from .tools import Tools
        from .turning import turns_of

        if self.turns == "all":
            sets = turns_of(data.rows())
            data = dataclasses.replace(data, rows=lambda: sets)
        tools = {
            name: {it.index: Tools.of(it.prompt, it.index) for it in some}
            for name, some in asked_of(data, self, "tool_calls", _lacks).items()
        }
        metrics: dict[str, Any] = {}
        records: list[dict[str, Any]] = []
        for name, found in replies(chat, data, self, "tool_calls", _lacks).items():
            numbers = [judged(it, tools[name][it.index]) for it in found]
            metrics[name] = {**measured(numbers, _METRICS), **cut_short([it.answer for it in found])}
            records += [
                {**it.record(**own), "expected": it.prompt.expected, "turn": len(it.prompt.messages)}
                for it, own in zip(found, numbers, strict=True)
            ]
        return Evaluation(metrics, records, {**self.settings(chat), "turns": self.turns})


def _lacks(prompt: Prompt) -> str | None:
    if not prompt.tools:
        return "have no tools"
    return None if prompt.expected else "have no expected answer"
