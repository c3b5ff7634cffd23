"""Learning from rewards by comparing several answers to each prompt; no value model. The loops are TRL's.

The plugins are these light classes; `fitting` joins them to TRL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from tunesmith import hookimpl, plugin
from tunesmith.ranges import Range, above, at_least, between
from tunesmith.types import Problem

from tunesmith_stage_grpo.groups import AnswerGroups

if TYPE_CHECKING:
    from tunesmith.planning import Plan


@plugin
class Grpo(AnswerGroups):
    """Learn from rewards by comparing answers to the same prompt (Shao et al. 2024, arXiv 2402.03300).

    Answers better than their group's mean become likelier. Batches, steps, learning rate, logging, evaluation and
    saving are the trainer's options; a batch counts answers, so that
    `per_device_train_batch_size × gradient_accumulation_steps` answers make a step on each process. Needs rows with a
    `prompt`, or conversations, whose last answer becomes the column `answer` for the rewards. Options keep TRL's names.
    """

    # how the tokens' losses are summed: grpo per answer (arXiv 2402.03300), dapo and bnpo over all tokens
    # (arXiv 2503.14476), dr_grpo by a constant (arXiv 2503.20783), cispo clips the weights (arXiv 2506.13585)
    loss_type: Literal["dapo", "grpo", "bnpo", "dr_grpo", "cispo"] = "dapo"
    scale_rewards: Literal["group", "batch", "none"] = "group"  # by whose standard deviation advantages are divided
    importance_sampling_level: Literal["token", "sequence"] = "token"  # of the ratio; sequence: GSPO, arXiv 2507.18071
    # largest ratio for answers worse than the mean (two-sided clipping); null has none
    delta: Annotated[float, above(1, most=1_000_000)] | None = None
    # learn from this share of the tokens, the most uncertain (arXiv 2506.01939)
    top_entropy_quantile: Annotated[float, Range(0, 1, low_excluded=True)] = 1.0

    NAME: ClassVar[str] = "grpo"
    beside_encoding: ClassVar[tuple[str, ...]] = (
        "loss_type",
        "scale_rewards",
        "importance_sampling_level",
        "delta",
        "top_entropy_quantile",
    )

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        problems = self.problems(plan)
        if self.importance_sampling_level == "sequence" and self.loss_type != "grpo":
            message = f"stage.loss_type={self.loss_type} sums over tokens, which does not suit ratios of whole answers."
            problems.append(Problem("stage.loss_type", message, "stage.loss_type=grpo", severity="warning"))
        if self.loss_type == "bnpo" and (plan.processes or 2) > 1:
            message = (
                "stage.loss_type=bnpo takes the mean over the tokens of each process: their number changes the loss."
            )
            problems.append(Problem("stage.loss_type", message, "stage.loss_type=dapo", severity="warning"))
        return problems


@plugin
class Rloo(AnswerGroups):
    """Learn from rewards by REINFORCE with a leave-one-out baseline (Ahmadian et al. 2024, arXiv 2402.14740).

    An answer counts by how much its reward is above the mean of the others to the same prompt, and as a whole: its
    probability is the product of those of its tokens. The KL penalty is taken off the reward. Batches and data are as
    for grpo.
    """

    normalize_advantages: bool = False  # give the advantages of a batch mean 0 and standard deviation 1
    # least and greatest reward of an answer, such as [-1, 1]; beyond it the reward is cut; null does not cut
    reward_clip_range: Annotated[list[float] | None, between(-1_000_000, 1_000_000)] = None
    # reward taken off per nat by which an answer is likelier than before training; 0 needs none
    beta: Annotated[float, at_least(0, most=1_000_000)] = 0.05

    NAME: ClassVar[str] = "rloo"
    beside_encoding: ClassVar[tuple[str, ...]] = ("normalize_advantages", "reward_clip_range", "beta")

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        problems = self.problems(plan)
        cut = self.reward_clip_range
        if cut is not None and not (len(cut) == 2 and cut[0] < cut[1]):
            message = f"stage.reward_clip_range={cut} is not a least and a greatest reward."
            problems.append(Problem("stage.reward_clip_range", message, "[-1, 1]"))
        return problems
