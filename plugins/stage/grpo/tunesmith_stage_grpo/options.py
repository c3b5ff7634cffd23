"""What the stages that compare several answers to a prompt are told: their own options, and some of the trainer's."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from tunesmith.ranges import Range, above, at_least, between

if TYPE_CHECKING:
    from tunesmith.planning import Plan


@dataclass(kw_only=True, eq=False)
class GroupOptions:
    """The options of a stage that draws a group of answers to each prompt. They keep TRL's names."""

    # answers to each prompt; must divide the answers of a step
    num_generations: Annotated[int, at_least(2, most=1_000_000)] = 8
    max_completion_length: Annotated[int, at_least(1, most=100_000_000)] = 256  # tokens of an answer, at most
    # tokens of a prompt; rows with a longer one are left out
    max_prompt_length: Annotated[int, at_least(1, most=100_000_000)] = 1024

    temperature: Annotated[float, above(0, most=100)] = 1.0  # of the drawing of answers
    # draw from the likeliest tokens that have this probability together
    top_p: Annotated[float, Range(0, 1, low_excluded=True)] = 1.0
    top_k: Annotated[int, at_least(0, most=10_000_000)] = 0  # draw from this many likeliest tokens; 0 is all
    # draw from tokens at least this share as likely as the likeliest
    min_p: Annotated[float, between(0, 1)] | None = None
    repetition_penalty: Annotated[float, above(0, most=100)] = 1.0  # above 1 makes tokens that occurred less likely

    num_iterations: Annotated[int, at_least(1, most=1_000_000)] = 1  # optimizer passes over each batch of answers
    # how far the ratio of new to old probability counts
    epsilon: Annotated[float, Range(0, 1, low_excluded=True)] = 0.2
    epsilon_high: Annotated[float, above(0, most=1_000_000)] | None = None  # the same upwards; null is epsilon
    mask_truncated_completions: bool = False  # do not learn from answers that were cut at max_completion_length

    # strength of the KL penalty to the model before training; 0 needs no reference
    beta: Annotated[float, at_least(0, most=1_000_000)] = 0.0

    NAME: ClassVar[str]  # of the stage


@dataclass(frozen=True)
class TrainerOptions:
    """The options of the trainer that are no arguments of TRL's loop, as the plan has them."""

    save_total_limit: int | None = None
    early_stopping_patience: int | None = None
    early_stopping_threshold: float = 0.0
    metric_for_best_model: str | None = None
    greater_is_better: bool | None = None
    use_cpu: bool = False

    @classmethod
    def of(cls, plan: Plan) -> TrainerOptions:
        """What the plan's trainer has of them; a default where it has none."""
        return cls(**{item.name: plan.get(f"trainer.{item.name}", item.default) for item in dataclasses.fields(cls)})
