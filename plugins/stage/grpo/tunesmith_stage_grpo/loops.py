"""TRL's loops, with our evaluation, and their configurations.

Both draw answers in the numbers they train in, and write no model card into the run's folder.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer
from tunesmith import TunesmithError
from tunesmith.errors import choices
from tunesmith.types import Evaluated, Event, TrainingJob
from tunesmith_library_chat import tokenizer_of
from tunesmith_stage_ppo import scoring
from tunesmith_stage_ppo.policy import draw
from tunesmith_stage_ppo.prompts import end_tokens
from tunesmith_trainer_transformers.stopping import metric_name

if TYPE_CHECKING:
    from tunesmith_stage_grpo.groups import AnswerGroups

_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")


class OneDevice:
    """TRL's configuration of a process that trains on one device."""

    @property
    def n_gpu(self) -> int:
        """At most 1: TRL refuses nn.DataParallel, which transformers would take for more."""
        return min(1, super().n_gpu)  # type: ignore[misc]


class GrpoConfig(OneDevice, GRPOConfig):
    """GRPOConfig of one device."""


class RlooConfig(OneDevice, RLOOConfig):
    """RLOOConfig of one device."""


class Joined:
    """A loop that is joined to a job: `class Loop(Joined, GRPOTrainer)`."""

    args: Any  # this and the next three are the trainer's
    state: Any
    model: Any
    callback_handler: Any
    job: TrainingJob
    options: AnswerGroups
    emit: Callable[[Event], None]
    last_evaluation: dict[str, float]

    def join(self, job: TrainingJob, options: AnswerGroups, emit: Callable[[Event], None]) -> None:
        """Say what is trained and who hears of it; before training begins."""
        self.job, self.options, self.emit, self.last_evaluation = job, options, emit, {}

    def computing(self) -> Any:
        """Compute in bf16 where that was asked for.

        In bf16 answers are drawn, too: transformers' own switch leaves that out, and weights trained in fp32 would meet
        others in bf16. Without a cache, which would keep weights that the drawing has cut off from their gradients.
        """
        in_bf16 = self.job.precision == "bf16"
        return torch.autocast(self.args.device.type, torch.bfloat16, enabled=in_bf16, cache_enabled=False)

    def training_step(self, *arguments: Any, **options: Any) -> Any:
        """Draw answers, where they are due, and learn from them."""
        with self.computing():
            return super().training_step(*arguments, **options)  # type: ignore[misc]

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """The mean reward of one answer to each held-out prompt, drawn as in training."""
        model, options = self.job.model, self.options
        ends = end_tokens(self.job.template, tokenizer_of(self.job.processor))
        sampling = {name: getattr(options, name) for name in _SAMPLING}

        def answer(prompts: list[list[int]]) -> list[list[int]]:
            return draw(model, prompts, ends, max_new_tokens=options.max_completion_length, **sampling)

        self.model.eval()
        with self.computing():
            batch_size = self.args.per_device_eval_batch_size
            metrics = scoring.evaluate(self.job, answer, batch_size, self.args.device)
        _require_best_metric(self.args, metrics)
        self.last_evaluation = metrics
        self.emit(Evaluated(self.state.global_step, dict(metrics)))
        self.log(dict(metrics))  # type: ignore[attr-defined]
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        self.model.train()
        return metrics

    def create_model_card(self, *_: Any, **__: Any) -> None:
        return None


class GrpoLoop(Joined, GRPOTrainer):
    """TRL's GRPOTrainer, joined to a job."""


class RlooLoop(Joined, RLOOTrainer):
    """TRL's RLOOTrainer, joined to a job."""


LOOPS: dict[str, tuple[Any, Any]] = {"grpo": (GrpoConfig, GrpoLoop), "rloo": (RlooConfig, RlooLoop)}
"""By the name of the stage: the class of its configuration, and of its loop."""


def _require_best_metric(arguments: Any, metrics: dict[str, float]) -> None:
    """Raise a TunesmithError when the metric that evaluations are compared by is none of theirs."""
    if arguments.metric_for_best_model and metric_name(arguments) not in metrics:
        possible = [name.removeprefix("eval_") for name in metrics]
        asked = arguments.metric_for_best_model
        raise TunesmithError(f"trainer.metric_for_best_model={asked} is unknown.\n  {choices(asked, possible)}")
