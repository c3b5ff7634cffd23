"""A transformers Trainer within `train_to_end`: its events, interruptions and checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback
from tunesmith.types import RunStarted, StepEnded, TrainingJob

from tunesmith_library_training.envelope import Run

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments


class Reporter(TrainerCallback):
    """Joins a Trainer to a `Run`. Add it to the Trainer's callbacks: it comes after transformers' own flow of control.

    It tells of steps that are not logged; the Trainer's `log` tells of the others.
    """

    def __init__(self, run: Run, save_total_limit: int | None, interrupted: Callable[[int], bool]) -> None:
        """
        Args:
            save_total_limit: how many checkpoints to keep, the newest beside the best; None keeps all.
            interrupted: whether all processes are to stop after a step that has just been made. Asked once per step.
        """
        self.run, self.save_total_limit, self.interrupted = run, save_total_limit, interrupted
        self.stopped = False  # by an interruption
        self.trained = False  # since the start or resumption

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.run.emit(RunStarted(self.run.job.output_dir, state.max_steps, {}, resumed_from=state.global_step))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.trained = True
        if self.interrupted(state.global_step) and not control.should_training_stop:
            control.should_training_stop = control.should_save = True
            control.should_evaluate = False  # it may take long, and the checkpoint waits for it
            self.stopped = True
        if control.should_training_stop or control.should_save or control.should_evaluate:
            control.should_log = True
        self._check_numbers(control, kwargs.get("model"))
        if not control.should_log:
            self.run.emit(StepEnded(state.global_step, state.max_steps, state.epoch or 0.0, {}))

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.stopped or not self.trained:  # not the end of an epoch, and the checkpoint is written already
            control.should_save = control.should_evaluate = control.should_log = False
        self._check_numbers(control, kwargs.get("model"))

    def _check_numbers(self, control: TrainerControl, model: Any) -> None:
        """Stop before numbers that are not finite are logged, measured or saved."""
        if control.should_training_stop or control.should_save or control.should_evaluate:
            self.run.guard.check(model)
        elif control.should_log:
            self.run.guard.check()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        facts = order_of_data(self.run.job, args)
        self.run.keep_checkpoint(state.global_step, facts, self.save_total_limit, state.best_model_checkpoint)


def order_of_data(job: TrainingJob, arguments: TrainingArguments) -> dict[str, int]:
    """What decides which examples a step sees; a resumed run compares it. A stream has 0 examples."""
    train = job.data.train
    return {
        "num_examples": len(train) if hasattr(train, "__len__") else 0,
        "seed": arguments.seed,
        "world_size": arguments.world_size,
        "per_device_train_batch_size": arguments.per_device_train_batch_size,
        "gradient_accumulation_steps": arguments.gradient_accumulation_steps,
    }


def checkpoint_of(run: Run, arguments: TrainingArguments) -> str | None:
    """What `Trainer.train` is to resume from. All processes call it."""
    found = run.newest_checkpoint(order_of_data(run.job, arguments))
    return str(found) if found else None
