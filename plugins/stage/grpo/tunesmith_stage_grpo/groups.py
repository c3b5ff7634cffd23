"""What the stages that compare several answers to a prompt do alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar

from tunesmith import DataError, hookimpl
from tunesmith.traits import StageTraits
from tunesmith.types import Problem, Row, TrainingJob
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_training.engines import engine_problems, process_problems
from tunesmith_library_training.metrics import REWARD_METRICS, Declared
from tunesmith_library_training.prompts import missing_reward
from tunesmith_library_training.rows import Advise, other_stages
from tunesmith_library_weights.plans import suitable

from tunesmith_stage_grpo.options import GroupOptions, TrainerOptions

if TYPE_CHECKING:
    from tunesmith.planning import Plan
    from tunesmith_library_estimates.estimation import Estimate


@dataclass(kw_only=True, eq=False)
class AnswerGroups(GroupOptions):
    """A stage that draws a group of answers to each prompt and learns which of them were the better ones."""

    _trainer: Any = field(default=None, init=False, repr=False)  # makes TRL's arguments of its options
    _trainer_options: TrainerOptions = field(default=TrainerOptions(), init=False, repr=False)
    _declared: Declared = field(default_factory=Declared, init=False, repr=False)  # of the run's metrics
    _advise: Advise | None = field(default=None, init=False, repr=False)
    _rewards: tuple[str, ...] = field(default=(), init=False, repr=False)  # names, in the order of their scores
    _said: set[str] = field(default_factory=set, init=False, repr=False)

    # fmt: off
    changeable: ClassVar[tuple[str, ...]] = (
        "max_completion_length", "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "epsilon",
        "epsilon_high", "mask_truncated_completions",
    )
    # fmt: on
    beside_encoding: ClassVar[tuple[str, ...]] = tuple(
        option.name for option in fields(GroupOptions) if option.name != "max_prompt_length"
    )

    @property
    def traits(self) -> StageTraits:
        return StageTraits(
            reads=("prompt",),
            generates=True,
            reference=self.beta > 0,
            balances_experts=True,
            metrics=REWARD_METRICS,
        )

    def problems(self, plan: Plan) -> list[Problem]:
        """What is wrong with a plan for all such stages; call it from `check`."""
        if plan.command != "train":
            return []
        problems = [*missing_reward(plan, self.NAME), *engine_problems(plan, self.NAME)]
        problems += [*self._wrong_trainer(plan), *self._sharded(plan)]
        problems += process_problems(plan, self.NAME)
        return [*problems, *self._wrong_groups(plan), *self._wrong_checkpoints(plan), *self._offloaded(plan)]

    def _wrong_trainer(self, plan: Plan) -> list[Problem]:
        """TRL's loop is given the trainer's options."""
        trainer = plan.traits("trainer")
        if trainer is None or trainer.training_arguments:
            return []
        name, found = plan.name("trainer"), suitable(plan, "trainer", lambda traits: traits.training_arguments)
        message = f"stage.{self.NAME} trains by TRL, to which trainer={name} cannot give its options."
        return [Problem("trainer", message, found or "choose another trainer")]

    def _sharded(self, plan: Plan) -> list[Problem]:
        """What spreads the model by the trainer's options is transformers', which gathers no model for its answers."""
        message = f"stage.{self.NAME} draws answers from a model that parallel spreads, not the trainer."
        keys = (key for key in ("trainer.fsdp", "trainer.deepspeed") if plan.get(key))
        return [Problem(key, message, f"parallel=fsdp, and leave {key} out") for key in keys]

    def _offloaded(self, plan: Plan) -> list[Problem]:
        """TRL switches checkpointing off to draw answers, and on again without knowing where its inputs are kept."""
        if plan.get("trainer.gradient_checkpointing") != "offload":
            return []
        message = f"stage.{self.NAME} does not keep the inputs of layers in the host's memory."
        return [Problem("trainer.gradient_checkpointing", message, "trainer.gradient_checkpointing=true")]

    def _wrong_groups(self, plan: Plan) -> list[Problem]:
        """The answers of a step must be whole groups."""
        size = plan.get("trainer.per_device_train_batch_size", 8) * plan.get("trainer.gradient_accumulation_steps", 1)
        answers = size * (plan.processes or self.num_generations)
        if answers % self.num_generations == 0:  # of an unknown number the processes see to it themselves
            return []
        message = f"{answers} answers in a step are no whole groups of {self.num_generations}."
        advice = "per_device_train_batch_size × gradient_accumulation_steps must be a multiple of num_generations"
        return [Problem("stage.num_generations", message, advice)]

    def _wrong_checkpoints(self, plan: Plan) -> list[Problem]:
        """A run that goes on between two passes over the same answers would draw them anew."""
        steps, passes = plan.get("trainer.save_steps", 0), self.num_iterations
        if plan.get("trainer.save_strategy") != "steps" or steps % passes == 0:
            return []
        message = f"A checkpoint at save_steps={steps} stands between {passes} passes over the same answers."
        advice = f"trainer.save_steps={-(-steps // passes) * passes}"
        return [Problem("trainer.save_steps", message, advice, severity="warning")]

    @hookimpl
    def estimate(self, estimate: Estimate, plan: Plan) -> Estimate:
        from tunesmith_stage_grpo.estimating import estimate_groups

        return estimate_groups(self, estimate, plan)

    @hookimpl
    def configured(self, plan: Plan) -> None:
        self._trainer, self._trainer_options = plan.plugin("trainer"), TrainerOptions.of(plan)
        self._declared = replace(Declared.of(plan), stage=self.traits.metrics)
        self._advise, self._rewards = other_stages(plan), tuple(plan.names("reward"))

    @hookimpl
    def encode(self, rows: Sequence[Row], processor: Any, template: ChatTemplate) -> dict[str, list[Any]]:
        from tunesmith_library_training.prompts import encode_prompts

        if any(row.get("tools") for row in rows):
            advice = "leave them out, or choose another stage that learns from rewards"
            raise DataError(f"stage.{self.NAME} writes prompts without tools, and a row has some.\n  {advice}")
        return encode_prompts(
            rows,
            processor,
            template,
            max_length=self.max_prompt_length,
            stage=self.NAME,
            said=self._said,
            advise=self._advise,
        )

    @hookimpl
    def fit(self, job: TrainingJob) -> bool:
        from tunesmith_stage_grpo.fitting import fit

        return fit(self, self._trainer, self._trainer_options, self._declared, job, self._rewards)
