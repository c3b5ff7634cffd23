"""What TRL's loop tells, and when it may be interrupted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tunesmith.types import StepEnded
from tunesmith_library_training import processes, reporting
from tunesmith_library_training.envelope import Run
from tunesmith_library_training.own_checkpoints import OwnCheckpoints

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments


class Reporter(reporting.Reporter):
    """Joins TRL's loop to a run."""

    def __init__(self, run: Run, trainer: OwnCheckpoints, save_total_limit: int | None, passes: int) -> None:
        """
        Args:
            passes: over the same answers, between which the run cannot be interrupted.
        """
        super().__init__(run, trainer, save_total_limit, self._must_stop)
        self.passes = passes
        self.metrics: dict[str, float] = {}  # of the last logged step

    def _must_stop(self, step: int) -> bool:
        requested = processes.any_of(self.run.interruption.requested)  # a signal may reach them one by one
        return requested and step % self.passes == 0

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Look at the weights at each step: answers cannot be drawn with such as are not finite."""
        self.run.guard.check(kwargs.get("model"))
        super().on_step_end(args, state, control, **kwargs)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().on_log(args, state, control, **kwargs)
        if not logs or "loss" not in logs:
            return
        numbers = {name: float(value) for name, value in logs.items() if isinstance(value, int | float)}
        numbers.pop("epoch", None)
        numbers |= self.run.gradients.told()
        self.metrics = numbers
        self.run.emit(StepEnded(state.global_step, state.max_steps, state.epoch or 0.0, numbers))
