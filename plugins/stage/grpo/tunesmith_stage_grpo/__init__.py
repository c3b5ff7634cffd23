"""Group relative policy optimization (Shao et al. 2024, arXiv 2402.03300): several answers to each prompt are scored,
and those better than their group's mean become likelier. No value model. The loop is TRL's GRPOTrainer.

The plugin is this light class; `fitting` joins it to TRL.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tunesmith import ChatTemplate, DataError, hookimpl, plugin
from tunesmith.types import Problem, Row, TrainingJob

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
    "beta": (0, float("inf")),
    "epsilon": (1e-6, 1),
    "top_entropy_quantile": (1e-6, 1),
}


@plugin
class Grpo:
    """Learn from rewards by comparing answers to the same prompt.

    Batches, steps, learning rate, logging and saving are the trainer's options; a batch counts answers, so that
    `per_device_train_batch_size × gradient_accumulation_steps` answers make a step. Needs rows with a `prompt`, or
    conversations, whose last answer becomes the column `answer` for the rewards. Options keep TRL's names.
    """

    num_generations: int = 8  # answers to each prompt; must divide the answers of a step
    max_completion_length: int = 256  # tokens of an answer, at most
    max_prompt_length: int = 1024  # tokens of a prompt; rows with a longer one are left out

    temperature: float = 1.0  # of the drawing of answers
    top_p: float = 1.0  # draw from the likeliest tokens that have this probability together
    top_k: int = 0  # draw from this many likeliest tokens; 0 is all
    min_p: float | None = None  # draw from tokens at least this share as likely as the likeliest
    repetition_penalty: float = 1.0  # above 1 makes tokens that occurred less likely

    # how the tokens' losses are summed: grpo per answer (arXiv 2402.03300), dapo and bnpo over all tokens
    # (arXiv 2503.14476), dr_grpo by a constant (arXiv 2503.20783), cispo clips the weights (arXiv 2506.13585)
    loss_type: Literal["dapo", "grpo", "bnpo", "dr_grpo", "cispo"] = "dapo"
    scale_rewards: Literal["group", "batch", "none"] = "group"  # by whose standard deviation advantages are divided
    importance_sampling_level: Literal["token", "sequence"] = "token"  # of the ratio; sequence: GSPO, arXiv 2507.18071
    num_iterations: int = 1  # optimizer passes over each batch of answers
    epsilon: float = 0.2  # how far the ratio of new to old probability counts
    epsilon_high: float | None = None  # the same upwards; null is epsilon (DAPO: 0.28)
    delta: float | None = None  # largest ratio for answers worse than the mean (two-sided clipping); null has none
    mask_truncated_completions: bool = False  # do not learn from answers that were cut at max_completion_length
    top_entropy_quantile: float = 1.0  # learn from this share of the tokens, the most uncertain (arXiv 2506.01939)
    beta: float = 0.0  # strength of the KL penalty to the model before training; 0 needs no reference

    _trainer: ClassVar[Any] = None  # the trainer's options
    _reported: ClassVar[bool] = False

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        self._trainer = plan.plugin("trainer")  # type: ignore[misc]
        problems = [
            Problem(f"stage.{name}", f"stage.{name}={getattr(self, name)} is out of range.", f"{low:g} to {high:g}")
            for name, (low, high) in _RANGES.items()
            if not low <= getattr(self, name) <= high
        ]
        if plan.command != "train":
            return problems
        if not plan.uses("reward"):
            message, advice = "stage.grpo learns from rewards, and none is selected.", "for example: reward.numeric={}"
            problems.append(Problem("reward", message, advice))
        if plan.uses("trainer") and not plan.uses("trainer", "transformers"):
            message = f"stage.grpo trains with transformers, not with trainer={plan.name('trainer')}."
            problems.append(Problem("trainer", message, "trainer=transformers"))
        if self.importance_sampling_level == "sequence" and self.loss_type != "grpo":
            message = f"stage.loss_type={self.loss_type} sums over tokens, which does not suit ratios of whole answers."
            problems.append(Problem("stage.loss_type", message, "stage.loss_type=grpo", severity="warning"))
        if plan.get("trainer.eval_strategy") in ("steps", "epoch"):
            advice = "trainer.eval_strategy=auto"
            problems.append(Problem("trainer.eval_strategy", "stage.grpo does not evaluate while it trains.", advice))
        return [*problems, *self._wrong_groups(plan)]

    def _wrong_groups(self, plan: Plan) -> list[Problem]:
        """The answers of a step must be whole groups."""
        size = plan.get("trainer.per_device_train_batch_size", 8) * plan.get("trainer.gradient_accumulation_steps", 1)
        answers = size * int(os.environ.get("WORLD_SIZE", "1"))
        if self.num_generations < 2 or answers % self.num_generations == 0:
            return []
        message = f"{answers} answers in a step are no whole groups of {self.num_generations}."
        advice = "per_device_train_batch_size × gradient_accumulation_steps must be a multiple of num_generations"
        return [Problem("stage.num_generations", message, advice)]

    @hookimpl
    def encode(self, rows: Sequence[Row], processor: Any, template: ChatTemplate) -> dict[str, list[Any]]:
        from tunesmith_stage_ppo.prompts import encode_prompts, warn_of_longer

        if any(row.get("tools") for row in rows):
            raise DataError("stage.grpo writes prompts without tools, and a row has some.\n  stage=ppo")
        columns, longer = encode_prompts(rows, processor, template, self.max_prompt_length, "grpo")
        if longer and not self._reported:
            self._reported = True  # type: ignore[misc]
            warn_of_longer("grpo", longer, len(rows), self.max_prompt_length)
        return columns

    @hookimpl
    def fit(self, job: TrainingJob) -> bool:
        from tunesmith_stage_grpo.fitting import fit

        return fit(self, self._trainer, job)
