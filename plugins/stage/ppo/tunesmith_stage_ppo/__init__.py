"""Proximal policy optimization (Schulman et al. 2017, arXiv 1707.06347) of a language model, from rewards for whole
answers, tied to a reference by a KL penalty (Ziegler et al. 2019, arXiv 1909.08593).

The plugin is this light class; the loop is in `loop`, its mathematics in `loss`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tunesmith import announce, hookimpl, plugin
from tunesmith.ranges import Range, above, at_least, between, path_like
from tunesmith.traits import StageTraits
from tunesmith.types import LoadModel, Problem, Requirement, Row, TrainingJob
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_training.ends import end_problems
from tunesmith_library_training.engines import engine_problems, process_problems
from tunesmith_library_training.metrics import REWARD_METRICS
from tunesmith_library_training.prompts import missing_reward
from tunesmith_library_training.rows import Advise, other_stages
from tunesmith_library_weights.folders import fetched, reference_problems

if TYPE_CHECKING:
    from tunesmith.planning import Plan
    from tunesmith_library_estimates.estimation import Estimate


@plugin
class Ppo:
    """Learn from rewards: answers are generated, scored, and the likelier made the better they are.

    A value head on the model predicts the reward of an answer from each of its tokens on. The stage brings its own
    loop; the options of the trainer do not count. Of several processes each has a device of its own and takes its share
    of each batch; together they draw the answers that one would draw. Needs rows with a `prompt`, or conversations,
    whose last answer becomes the column `answer` for the rewards.
    """

    # each generates batch_size answers and learns from them
    total_steps: Annotated[int, at_least(1, most=1_000_000_000)] = 200
    batch_size: Annotated[int, at_least(1, most=1_000_000)] = 64  # answers of a step, over all processes
    # answers in a forward pass and an optimizer step, over all processes; also generated together
    mini_batch_size: Annotated[int, at_least(1, most=1_000_000)] = 8
    ppo_epochs: Annotated[int, at_least(1, most=1_000_000)] = 4  # passes over the answers of a step

    learning_rate: Annotated[float, above(0, most=100)] = 1e-5  # of the model
    value_learning_rate: Annotated[float, above(0, most=100)] = 1e-4  # of the value head
    lr_scheduler_type: Literal["linear", "constant"] = "linear"  # course of both: to 0 at the last step, or level
    weight_decay: Annotated[float, at_least(0, most=10)] = 0.0  # decoupled weight decay
    # longest gradient (2-norm over all trained weights); 0 does not clip
    max_grad_norm: Annotated[float, at_least(0, most=1_000_000)] = 1.0

    # tokens of a prompt; rows with a longer one are left out
    max_prompt_length: Annotated[int, at_least(1, most=100_000_000)] = 1024
    max_new_tokens: Annotated[int, at_least(1, most=100_000_000)] = 128  # tokens of an answer, at most
    # of the drawing of answers; the objective counts with it, too
    temperature: Annotated[float, above(0, most=100)] = 1.0
    # taken off the reward of an answer that was cut at max_new_tokens
    missing_end_penalty: Annotated[float, at_least(0, most=1_000_000)] = 0.0

    # ε: how far the ratio of new to old probability of a token counts
    clip_range: Annotated[float, Range(0, 1, low_excluded=True)] = 0.2
    # how far a value may move from the old one; 0 does not clip
    value_clip_range: Annotated[float, at_least(0, most=1_000_000)] = 0.2
    value_coef: Annotated[float, at_least(0, most=1_000_000)] = 0.1  # weight of the value loss
    entropy_coef: Annotated[float, at_least(0, most=1_000_000)] = 0.0  # weight of the entropy, which is made larger
    gamma: Annotated[float, between(0, 1)] = 1.0  # discount of later rewards
    lam: Annotated[float, between(0, 1)] = 0.95  # λ of generalized advantage estimation (arXiv 1506.02438)
    # take the mean of all scores so far off each score, and divide by their standard deviation
    normalize_scores: bool = False
    whiten_rewards: bool = False  # divide the rewards of tokens by their standard deviation over the batch
    whiten_advantages: bool = True  # give the advantages of the batch mean 0 and standard deviation 1
    # end a step's passes when a token's policy moved this far (nats); null never
    target_kl: Annotated[float, above(0, most=1_000_000)] | None = None

    # penalty per nat by which a token is likelier than with the reference; 0 needs none
    init_kl_coef: Annotated[float, at_least(0, most=1_000_000)] = 0.05
    # nats per answer to which the penalty adapts (6 in the paper); null keeps it
    kl_target: Annotated[float, above(0, most=1_000_000)] | None = None
    kl_horizon: Annotated[float, at_least(1, most=1_000_000_000)] = 10000.0  # answers over which the penalty adapts
    # model of the KL penalty, on a hub or a folder; null is the model as it is before training
    reference: Annotated[str | None, path_like] = None
    reference_adapter: Annotated[str | None, path_like] = None  # folder of the adapter that the reference model has

    logging_steps: Annotated[int, at_least(1, most=1_000_000_000)] = 1  # steps from one logged step to the next
    # steps from one evaluation of the held-out prompts to the next, and one after the last step; 0 never
    eval_steps: Annotated[int, at_least(0, most=1_000_000_000)] = 50
    # steps from one checkpoint to the next; 0 saves none but at an interruption
    save_steps: Annotated[int, at_least(0, most=1_000_000_000)] = 50
    # newest checkpoints to keep; null keeps all
    save_total_limit: Annotated[int, at_least(1, most=1_000_000)] | None = 2
    use_cpu: bool = False  # train on the CPU although there is an accelerator

    # fmt: off
    changeable: ClassVar[tuple[str, ...]] = (
        "total_steps", "learning_rate", "value_learning_rate", "lr_scheduler_type", "weight_decay", "max_grad_norm",
        "max_new_tokens", "temperature", "missing_end_penalty", "clip_range", "value_clip_range", "value_coef",
        "entropy_coef", "gamma", "lam", "target_kl", "kl_target", "kl_horizon", "logging_steps", "eval_steps",
        "save_steps", "save_total_limit", "use_cpu",
    )
    beside_encoding: ClassVar[tuple[str, ...]] = (
        *changeable, "batch_size", "mini_batch_size", "ppo_epochs", "normalize_scores", "whiten_rewards",
        "whiten_advantages", "init_kl_coef", "reference", "reference_adapter",
    )
    # fmt: on
    _model: str | None = None  # address of the trained model
    _adapter: str | None = None  # folder of the adapter whose training goes on
    _advise: Advise | None = None
    _said: set[str] = set()
    _reference: Any = None  # of the KL penalty; None without

    @property
    def traits(self) -> StageTraits:
        reference = self.init_kl_coef > 0
        return StageTraits(reads=("prompt",), generates=True, reference=reference, metrics=REWARD_METRICS)

    @hookimpl
    def requires(self) -> list[Requirement]:
        return fetched({"stage.reference": self.reference, "stage.reference_adapter": self.reference_adapter})

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        others = reference_problems(self.reference, self.reference_adapter, "stage")
        others += end_problems(plan, ("stage.total_steps", self.total_steps))
        others += [*missing_reward(plan, "ppo"), *engine_problems(plan, "ppo")]
        others += process_problems(plan, "ppo")
        return [*others, *self._unequal_shares(plan), *_best_of_trainer(plan)]

    def _unequal_shares(self, plan: Plan) -> list[Problem]:
        """Every process must get as many answers as the others."""
        count = plan.processes or 1
        return [
            Problem(
                f"stage.{name}",
                f"stage.{name}={size} is no multiple of {count} processes.",
                f"write stage.{name}={-(-size // count) * count}",
            )
            for name, size in (("batch_size", self.batch_size), ("mini_batch_size", self.mini_batch_size))
            if size % count
        ]

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from tunesmith_stage_ppo.estimating import estimate_ppo

        return estimate_ppo(self, estimate, plan)

    @hookimpl
    def configured(self, plan: Plan) -> None:
        self._model, self._adapter = plan.get("model.path"), plan.get("adapter.path")
        self._advise = other_stages(plan)

    @hookimpl
    def encode(self, rows: Sequence[Row], processor: Any, template: ChatTemplate) -> dict[str, list[Any]]:
        from tunesmith_library_training.prompts import encode_prompts

        return encode_prompts(
            rows,
            processor,
            template,
            max_length=self.max_prompt_length,
            stage="ppo",
            said=self._said,
            advise=self._advise,
        )

    @hookimpl
    def prepare(self, job: TrainingJob, load: LoadModel) -> None:
        import torch
        from tunesmith_library_training.reference import Reference
        from tunesmith_library_weights.switching import begins_as_base

        if not self.init_kl_coef:
            return
        other = None
        if self.reference or self.reference_adapter:
            other = load(self.reference or self._model, adapter=self.reference_adapter)
        else:
            with torch.autocast(job.model.device.type, torch.bfloat16, enabled=job.precision == "bf16"):
                begins = begins_as_base(job.model)
            if not begins:
                announce("reference", "a second model", "the model as it is before training")
                other = load(self._model, adapter=self._adapter)
        self._reference = Reference(other)

    @hookimpl
    def fit(self, job: TrainingJob) -> bool:
        from tunesmith_stage_ppo.loop import fit

        return fit(self, job, self._reference)


_CHOOSING = ("load_best_model_at_end", "metric_for_best_model", "greater_is_better", "early_stopping_patience")


def _best_of_trainer(plan: Plan) -> list[Problem]:
    """What the trainer is told of choosing a model, which this loop does not do; its other options do not count."""
    if plan.command != "train":
        return []
    chosen = [name for name in _CHOOSING if plan.get(f"trainer.{name}") not in (None, False)]
    message = "stage.ppo keeps the last model: it compares none, and stops at total_steps."
    return [Problem(f"trainer.{name}", message, f"leave {name} out, or stage=grpo") for name in chosen]
