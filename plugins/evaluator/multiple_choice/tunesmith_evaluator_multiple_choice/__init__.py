"""Multiple choice: MMLU, C-Eval, CMMLU and whatever has the same shape, by likelihood or by the answer's letter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from tunesmith import hookimpl, plugin
from tunesmith.ranges import at_least, path_like
from tunesmith.types import ModelHandle, Problem
from tunesmith_library_evaluating import Evaluation, EvaluationData
from tunesmith_library_evaluating.asking import Asking

if TYPE_CHECKING:
    from tunesmith.planning import Plan
    from tunesmith_library_engine.chatting import Chat
    from tunesmith_library_estimates.estimation import Estimate


@plugin
class MultipleChoice(Asking):
    """Accuracy on questions with choices, by subject and category, with standard errors."""

    # folder, zip file or file of questions, such as that of MMLU; null takes the rows of data.eval that have `choices`
    path: Annotated[str, path_like] | None = None
    split: str = "test"  # which part of it: test, val, dev; C-Eval keeps the answers of its test part secret
    subjects: list[str] = []  # of these alone; none is all
    # questions of the same subject's dev part, the first, that are shown with their answers before each question
    few_shot: Annotated[int, at_least(0, most=1000)] = 0
    # the words of the prompt: en and zh are LLaMA-Factory's, plain is lm-evaluation-harness's, which lists no choices
    prompt: Literal["en", "zh", "plain"] = "en"
    # likelihood compares the letters behind the question, choices the texts of the choices; generation reads the letter
    # out of the model's answer
    through: Literal["likelihood", "choices", "generation"] = "likelihood"
    chat: bool = True  # ask in turns of the chat template; false is plain text, as base models continue it

    @property
    def tokens_of_answer(self) -> int:
        return super().tokens_of_answer if self.through == "generation" else 0

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from tunesmith_library_evaluating.estimating import with_scoring

        return estimate if self.tokens_of_answer else with_scoring(estimate)

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        problems = []
        if self.prompt == "plain" and self.through != "choices":
            problems.append(
                ("prompt=plain lists no choices, so that no letter names one.", "through=choices, or en, zh")
            )
        if self.through == "generation" and not self.chat:
            problems.append(("through=generation asks in turns.", "chat=true, or through=likelihood"))
        if self.path is None and self.few_shot:
            problems.append(("rows of data.eval have no examples beside them.", "few_shot=0, or path=FOLDER"))
        where = "evaluator.multiple_choice"
        return [Problem(where, message, advice) for message, advice in problems]

    @hookimpl
    def evaluate(self, handle: ModelHandle, chat: Chat, data: EvaluationData) -> Evaluation:
        """Raises: DataError when there are no questions with choices and answers."""
        from .measuring import measure

        return measure(self, chat, data)
