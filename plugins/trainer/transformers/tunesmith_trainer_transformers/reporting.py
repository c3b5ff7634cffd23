"""What happens at the turns of the loop: events, interruptions, checkpoints that are marked when they are whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback
from tunesmith.types import RunStarted, Saved, StepEnded

from tunesmith_trainer_transformers import checkpoints

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments

    from tunesmith_trainer_transformers.loop import Loop


class Reporter(TrainerCallback):
    """Joins a Loop to the trackers and to the user's Ctrl-C. It comes after transformers' own flow of control."""

    def __init__(self, loop: Loop, save_total_limit: int | None) -> None:
        self.loop = loop
        self.save_total_limit = save_total_limit
        self.output_dir = loop.job.output_dir

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.loop.emit(RunStarted(self.output_dir, state.max_steps, {}, resumed_from=state.global_step))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        loop = self.loop
        loop.step_ended()
        alone = args.world_size == 1
        if (loop.stop or (alone and loop.interruption.requested)) and not control.should_training_stop:
            control.should_training_stop = control.should_save = True
            control.should_evaluate = False  # it may take long, and the checkpoint waits for it
            loop.stop = True
        else:
            loop.stop = False
        if control.should_training_stop or control.should_save or control.should_evaluate:
            control.should_log = True
        if not control.should_log:
            loop.emit(StepEnded(state.global_step, state.max_steps, state.epoch or 0.0, {}))

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        trained = self.loop.step_began > 0.0
        if self.loop.stop or not trained:  # not the end of an epoch, and the checkpoint is written already
            control.should_save = control.should_evaluate = control.should_log = False

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        self.loop.accelerator.wait_for_everyone()
        if state.is_world_process_zero:
            checkpoints.mark_complete(folder, order_of_data(self.loop))
            checkpoints.rotate(self.output_dir, self.save_total_limit, state.best_model_checkpoint)
        self.loop.emit(Saved(state.global_step, folder))


def order_of_data(loop: Loop) -> dict[str, Any]:
    """What decides which examples a step sees; a resumed run compares it. A stream has 0 examples."""
    train = loop.job.data.train
    return {
        "num_examples": len(train) if hasattr(train, "__len__") else 0,
        "seed": loop.args.seed,
        "world_size": loop.args.world_size,
        "per_device_train_batch_size": loop.args.per_device_train_batch_size,
        "gradient_accumulation_steps": loop.args.gradient_accumulation_steps,
    }
