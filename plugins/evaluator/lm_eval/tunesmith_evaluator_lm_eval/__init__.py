"""lm-evaluation-harness: its tasks and its numbers, over whatever engine answers."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Annotated, ClassVar

from tunesmith import hookimpl, plugin
from tunesmith.ranges import at_least, path_like
from tunesmith.types import ModelHandle, Problem
from tunesmith_library_evaluating import Evaluation, EvaluationData

if TYPE_CHECKING:
    from tunesmith.planning import Plan
    from tunesmith_library_engine.chatting import Chat
    from tunesmith_library_estimates.estimation import Estimate


@plugin
class LmEval:
    """Tasks of lm-evaluation-harness, with its own metrics and standard errors."""

    tasks: list[str]  # names of tasks, groups or tags
    # folder with further tasks; where it has all of them the harness's own are not looked through
    include_path: Annotated[str, path_like] | None = None
    num_fewshot: Annotated[int, at_least(0, most=10_000)] | None = None  # examples before a question; null: the task's
    # examples of each task, the first; null is all
    limit: Annotated[int, at_least(1, most=1_000_000_000)] | None = None
    apply_chat_template: bool = False  # put questions in turns of the model's chat template
    fewshot_as_multiturn: bool = True  # with it, examples are turns of their own
    system_instruction: str | None = None  # system message, or what stands before the question
    enable_thinking: bool | None = None  # whether the model thinks; null leaves it to the template
    # tokens of an answer, with its thought; null: the task's, mostly 256, which is little for a model that thinks
    max_new_tokens: Annotated[int, at_least(1, most=100_000_000)] | None = None
    seed: Annotated[int, at_least(0, most=4_294_967_295)] = 1234  # of examples and of what is drawn
    batch: Annotated[int, at_least(1, most=10_000_000)] = 2048  # requests that the engine gets at a time
    unsafe_code: bool = False  # run tasks that execute what the model writes, with all rights of this process

    # YAML of a task may name Python that is run
    guarded: ClassVar[tuple[str, ...]] = ("include_path", "unsafe_code")

    @property
    def tokens_of_answer(self) -> int:
        """Of most tasks, where the option does not say."""
        return self.max_new_tokens or 256

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        return estimate.without("how long the questions of lm-evaluation-harness's tasks are")

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        found = []
        if importlib.util.find_spec("lm_eval") is None:
            message = "lm-evaluation-harness is not installed."
            advice = 'pip install "tunesmith-evaluator-lm_eval[program]"'
            found.append(Problem("evaluator.lm_eval", message, advice))
        if not self.tasks:
            message, advice = "no task is named.", "evaluator.lm_eval.tasks=[hellaswag]"
            found.append(Problem("evaluator.lm_eval.tasks", message, advice))
        return found

    @hookimpl
    def evaluate(self, handle: ModelHandle, chat: Chat, data: EvaluationData) -> Evaluation:
        """Raises: TunesmithError for tasks that are not known, or would run code that was not allowed."""
        from .running import measure

        return measure(self, chat)
