"""What the stages that compare several answers to a prompt have in common: the drawing of answers, and the checks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from tunesmith import DataError, hookimpl
from tunesmith.types import Problem, Row, TrainingJob
from tunesmith_library_chat import ChatTemplate

if TYPE_CHECKING:
    from tunesmith.planning import Plan

# option -> the least it may be, the greatest
_RANGES: dict[str, tuple[float, float]] = {
    "num_generations": (2, float("inf")),
    "max_completion_length": (1, float("inf")),
    "max_prompt_length": (1, float("inf")),
    "temperature": (1e-3, float("inf")),
    "top_p": (1e-6, 1),
    "num_iterations": (1, float("inf")),
    "epsilon": (1e-6, 1),
    "beta": (0, float("inf")),
}


@dataclass(kw_only=True, eq=False)
class AnswerGroups:
    """The options of a stage that draws a group of answers to each prompt. They keep TRL's names."""

    num_generations: int = 8  # answers to each prompt; must divide the answers of a step
    max_completion_length: int = 256  # tokens of an answer, at most
    max_prompt_length: int = 1024  # tokens of a prompt; rows with a longer one are left out

    temperature: float = 1.0  # of the drawing of answers
    top_p: float = 1.0  # draw from the likeliest tokens that have this probability together
    top_k: int = 0  # draw from this many likeliest tokens; 0 is all
    min_p: float | None = None  # draw from tokens at least this share as likely as the likeliest
    repetition_penalty: float = 1.0  # above 1 makes tokens that occurred less likely

    num_iterations: int = 1  # optimizer passes over each batch of answers
    epsilon: float = 0.2  # how far the ratio of new to old probability counts
    epsilon_high: float | None = None  # the same upwards; null is epsilon
    mask_truncated_completions: bool = False  # do not learn from answers that were cut at max_completion_length

    NAME: ClassVar[str] = ""  # of the stage
    RANGES: ClassVar[dict[str, tuple[float, float]]] = {}  # of the stage's own options

    _trainer: ClassVar[Any] = None  # the trainer's options
    _reported: ClassVar[bool] = False

    def problems(self, plan: Plan) -> list[Problem]:
        """What is wrong with the options that all such stages have; call it from `check`."""
        self._trainer = plan.plugin("trainer")  # type: ignore[misc]
        problems = [
            Problem(f"stage.{name}", f"stage.{name}={getattr(self, name)} is out of range.", f"{low:g} to {high:g}")
            for name, (low, high) in {**_RANGES, **self.RANGES}.items()
            if not low <= getattr(self, name) <= high
        ]
        if plan.command != "train":
            return problems
        if not plan.uses("reward"):
            message = f"stage.{self.NAME} learns from rewards, and none is selected."
            problems.append(Problem("reward", message, "for example: reward.numeric={}"))
        if plan.uses("trainer") and not plan.uses("trainer", "transformers"):
            message = f"stage.{self.NAME} trains with transformers, not with trainer={plan.name('trainer')}."
            problems.append(Problem("trainer", message, "trainer=transformers"))
        return [*problems, *self._wrong_groups(plan), *self._wrong_checkpoints(plan)]

    def _wrong_groups(self, plan: Plan) -> list[Problem]:
        """The answers of a step must be whole groups."""
        size = plan.get("trainer.per_device_train_batch_size", 8) * plan.get("trainer.gradient_accumulation_steps", 1)
        answers = size * int(os.environ.get("WORLD_SIZE", "1"))
        if self.num_generations < 2 or answers % self.num_generations == 0:
            return []
        message = f"{answers} answers in a step are no whole groups of {self.num_generations}."
        advice = "per_device_train_batch_size × gradient_accumulation_steps must be a multiple of num_generations"
        return [Problem("stage.num_generations", message, advice)]

    def _wrong_checkpoints(self, plan: Plan) -> list[Problem]:
        """A run that goes on between two passes over the same answers would draw them anew."""
        steps, passes = plan.get("trainer.save_steps", 0), max(self.num_iterations, 1)
        if plan.get("trainer.save_strategy") != "steps" or steps % passes == 0:
            return []
        message = f"A checkpoint at save_steps={steps} stands between {passes} passes over the same answers."
        advice = f"trainer.save_steps={-(-steps // passes) * passes}"
        return [Problem("trainer.save_steps", message, advice, severity="warning")]

    @hookimpl
    def encode(self, rows: Sequence[Row], processor: Any, template: ChatTemplate) -> dict[str, list[Any]]:
        from tunesmith_stage_ppo.prompts import encode_prompts, warn_of_longer

        if any(row.get("tools") for row in rows):
            raise DataError(f"stage.{self.NAME} writes prompts without tools, and a row has some.\n  stage=ppo")
        columns, longer = encode_prompts(rows, processor, template, self.max_prompt_length, self.NAME)
        if longer and not self._reported:
            self._reported = True  # type: ignore[misc]
            warn_of_longer(self.NAME, longer, len(rows), self.max_prompt_length)
        return columns

    @hookimpl
    def fit(self, job: TrainingJob) -> bool:
        from tunesmith_stage_grpo.fitting import fit

        return fit(self, self._trainer, job)
