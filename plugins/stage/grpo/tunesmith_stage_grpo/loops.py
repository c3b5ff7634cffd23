"""TRL's loops, with our evaluation, and their configurations.

Both ask the run's engine for answers (`drawing`), and write no model card into the run's folder.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer
from tunesmith.types import Evaluated
from tunesmith_library_training import scoring
from tunesmith_library_training.drawing import Drawing
from tunesmith_library_training.envelope import Run
from tunesmith_library_training.evaluations import measured
from tunesmith_library_training.finite import watch_gradients
from tunesmith_library_training.metrics import warn_of_non_finite
from tunesmith_library_training.one_device import OneDevice
from tunesmith_library_training.own_checkpoints import OwnCheckpoints
from tunesmith_library_training.stopping import require_best_metric


class GrpoConfig(OneDevice, GRPOConfig):
    """GRPOConfig of one device."""


class RlooConfig(OneDevice, RLOOConfig):
    """RLOOConfig of one device."""


class Joined(OwnCheckpoints):
    """A loop that is joined to a run: `class Loop(Joined, GRPOTrainer)`."""

    run: Run
    drawing: Drawing
    last_evaluation: dict[str, float]

    def join(self, run: Run, drawing: Drawing) -> None:
        """Say what is trained, what answers and who hears of it; before training begins."""
        self.run, self.drawing, self.last_evaluation = run, drawing, {}
        self.prompts: list[str] = []  # of the step
        watch_gradients(self.accelerator, lambda norm: self._see("gradient", norm))

    def computing(self) -> Any:
        """Compute in bf16 where that was asked for.

        transformers' own switch leaves out what is computed without learning, and weights trained in fp32 would meet
        others in bf16. Without a cache, which would keep weights that this has cut off from their gradients.
        """
        in_bf16 = self.run.job.precision == "bf16"
        return torch.autocast(self.args.device.type, torch.bfloat16, enabled=in_bf16, cache_enabled=False)

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        """Draw answers, where they are due, and learn from them."""
        self.prompts = list(dict.fromkeys(str(example["prompt"][-1]["content"]) for example in inputs))
        with self.computing():
            loss = super().training_step(model, inputs, num_items_in_batch)
        self._see("loss", loss)
        return loss

    def _see(self, what: str, value: Any) -> None:
        self.run.guard.see(what, value, self.state.global_step + 1, self.prompts)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """The mean reward of one answer to each held-out prompt, drawn as in training."""
        job, model = self.run.job, cast(Any, self.model)
        model.eval()
        with self.computing():
            metrics = scoring.evaluate(
                job, self.drawing.answers, self.args.per_device_eval_batch_size, self.args.device
            )
            metrics |= measured(job, self.model, metric_key_prefix)[0]
        warn_of_non_finite(metrics, self.state.global_step)
        require_best_metric(self.args, metrics)
        self.last_evaluation = metrics
        self.run.emit(Evaluated(self.state.global_step, dict(metrics)))
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        model.train()
        return metrics

    def measured_directions(self) -> dict[str, bool]:
        """Whether greater is better, for each number that the run's evaluators find out now."""
        with self.computing():
            return measured(self.run.job, self.model)[1]

    def create_model_card(self, *_: Any, **__: Any) -> None:
        return None


class GrpoLoop(Joined, GRPOTrainer):
    """TRL's GRPOTrainer, joined to a job."""


class RlooLoop(Joined, RLOOTrainer):
    """TRL's RLOOTrainer, joined to a job."""


LOOPS: dict[str, tuple[Any, Any]] = {"grpo": (GrpoConfig, GrpoLoop), "rloo": (RlooConfig, RlooLoop)}
"""By the name of the stage: the class of its configuration, and of its loop."""
