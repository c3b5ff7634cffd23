"""A model's replies to the rows of evaluation sets: what evaluators that read answers begin with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunesmith import DataError
from tunesmith.messages import announce

from tunesmith_library_evaluating.answering import Answered, answered, explained
from tunesmith_library_evaluating.asking import Asking
from tunesmith_library_evaluating.evaluation import EvaluationData
from tunesmith_library_evaluating.prompts import Prompt, prompts_of_rows

if TYPE_CHECKING:
    from tunesmith_library_engine.chatting import Chat

Lacks = Callable[[Prompt], str | None]
"""Why a prompt cannot be measured, as the end of "examples left out: they …"; None where it can."""


@dataclass(frozen=True)
class Asked:
    """A prompt with its place in its data set."""

    index: int
    prompt: Prompt


@dataclass(frozen=True)
class Reply(Asked):
    """A prompt with its answer."""

    answer: Answered

    def record(self, **numbers: Any) -> dict[str, Any]:
        """What is told of it: its place, its numbers, and what explains them."""
        return {"dataset": self.prompt.dataset, "index": self.index, **numbers, **explained(self.prompt, self.answer)}


def without_answer(prompt: Prompt) -> str | None:
    """Rows are of no use that do not say which answer is expected."""
    return None if prompt.answer and prompt.answer.strip() else "have no expected answer"


def asked_of(data: EvaluationData, asking: Asking, evaluator: str, lacks: Lacks) -> dict[str, list[Asked]]:
    """The prompts that can be measured, by data set; those left out are counted and said.

    Raises: DataError when there is none, or for a row without a conversation.
    """
    sets, reasons = dict[str, list[Asked]](), dict[str, int]()
    for name, prompts in asking.limited(prompts_of_rows(data.rows())).items():
        lacking = [lacks(prompt) for prompt in prompts]
        for why in dict.fromkeys(filter(None, lacking)):
            reasons[why] = reasons.get(why, 0) + lacking.count(why)
            announce(f"data set {name}", f"{lacking.count(why):,} of {len(prompts):,} examples left out", f"they {why}")
        pairs = zip(prompts, lacking, strict=True)
        sets[name] = [Asked(index, prompt) for index, (prompt, why) in enumerate(pairs) if why is None]
    if not any(sets.values()):
        told = "".join(f"\n  {count:,} examples {why}" for why, count in reasons.items())
        advice = "" if reasons else "\n  write data.eval=[test.json]"
        raise DataError(f"{evaluator}: no evaluation set has an example to measure.{told}{advice}")
    return {name: asked for name, asked in sets.items() if asked}


def replies(
    chat: Chat, data: EvaluationData, asking: Asking, evaluator: str, lacks: Lacks = without_answer
) -> dict[str, list[Reply]]:
    """The replies to all that can be measured, by data set, in the order of the rows.

    Raises: DataError when there is nothing to measure, before the model is loaded.
    """
    sets = asked_of(data, asking, evaluator, lacks)
    found = {}
    for name, asked in sets.items():
        answers = answered(chat, [it.prompt for it in asked], asking.sampling(), asking=asking)
        found[name] = [Reply(it.index, it.prompt, answer) for it, answer in zip(asked, answers, strict=True)]
    return found
