"""What happens at the turns of TRL's loop: events, interruptions, checkpoints that are marked when they are whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback
from tunesmith.types import Event, RunStarted, Saved, StepEnded
from tunesmith_library_training import processes
from tunesmith_trainer_transformers import checkpoints

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments
    from tunesmith_trainer_transformers.interruption import Interruption


class Reporter(TrainerCallback):
    """Joins the loop to the trackers and to the user's Ctrl-C. It comes after transformers' own flow of control."""

    def __init__(
        self,
        output_dir: Path,
        facts: Mapping[str, Any],
        save_total_limit: int | None,
        emit: Callable[[Event], None],
        interruption: Interruption,
        passes: int,
    ) -> None:
        self.output_dir, self.facts, self.save_total_limit = output_dir, facts, save_total_limit
        self.emit, self.interruption = emit, interruption
        self.stopped = False
        self.passes = passes  # over the same answers, between which the run cannot be interrupted
        self.metrics: dict[str, float] = {}  # of the last logged step

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.emit(RunStarted(self.output_dir, state.max_steps, {}, resumed_from=state.global_step))

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        requested = any(processes.gathered(self.interruption.requested))  # a signal may reach them one by one
        if requested and state.global_step % self.passes == 0 and not control.should_training_stop:
            control.should_training_stop = control.should_save = True
            control.should_evaluate = False  # it may take long, and the checkpoint waits for it
            self.stopped = True
        if control.should_training_stop or control.should_save or control.should_evaluate:
            control.should_log = True
        if not control.should_log:
            self.emit(StepEnded(state.global_step, state.max_steps, state.epoch or 0.0, {}))

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.stopped:  # the checkpoint is written already
            control.should_save = control.should_evaluate = control.should_log = False

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if not logs or "loss" not in logs:
            return
        numbers = {name: float(value) for name, value in logs.items() if isinstance(value, int | float)}
        numbers.pop("epoch", None)
        self.metrics = numbers
        self.emit(StepEnded(state.global_step, state.max_steps, state.epoch or 0.0, numbers))

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        processes.gathered(None)  # all have written their part
        if state.is_world_process_zero:
            checkpoints.mark_complete(folder, self.facts)
            checkpoints.rotate(self.output_dir, self.save_total_limit, state.best_model_checkpoint)
        self.emit(Saved(state.global_step, folder))
