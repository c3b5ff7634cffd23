"""A transformers Trainer within `train_to_end`: its events, interruptions and checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback
from tunesmith.types import RunStarted, StepEnded, TrainingJob

from tunesmith_library_training import processes, states
from tunesmith_library_training.envelope import Run
from tunesmith_library_training.own_checkpoints import RANDOM, OwnCheckpoints
from tunesmith_library_training.sharding import spread_of

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments


class Reporter(TrainerCallback):
    """Joins a Trainer to a `Run`. Add it to the Trainer's callbacks: it comes after transformers' own flow of control.

    It tells of steps that are not logged; the Trainer's `log` tells of the others.
    """

    def __init__(
        self, run: Run, trainer: OwnCheckpoints, save_total_limit: int | None, interrupted: Callable[[int], bool]
    ) -> None:
        """
        Args:
            trainer: whose callback it is.
            save_total_limit: how many checkpoints to keep, the newest beside the best; None keeps all.
            interrupted: whether all processes are to stop after a step that has just been made. Asked once per step.
        """
        self.run, self.trainer = run, trainer
        self.save_total_limit, self.interrupted = save_total_limit, interrupted
        self.stopped = False  # by an interruption
        self.trained = False  # since the start or resumption
        self.random: Any = None  # state of the random numbers, of a resumed run that has not begun its first step
        self.kept_best: tuple[Any, ...] = ()  # of the newest checkpoint

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self.run.resumed is not None and self.trainer.args.writes_own_checkpoints:
            self.trainer.restore_checkpoint(self.run.resumed)
            if (self.run.resumed / RANDOM).is_file():
                every = states.read(self.run.resumed / RANDOM)
                same = len(every) == processes.count()
                other = states.random_state_of_share(args.seed, state.global_step)
                self.random = every[processes.rank()] if same else other
        self.kept_best = _best(state)
        self.run.emit(RunStarted(self.run.job.output_dir, state.max_steps, {}, resumed_from=state.global_step))

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        begin_epoch(self.run.job, int(state.epoch or 0.0))
        if float(state.epoch or 0.0).is_integer():  # else batches are skipped first, which draws numbers
            self._restore_random()

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._restore_random()

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Look at the gradients of a logged step; the first one's say little of adapters that begin at 0."""
        step = state.global_step + 1
        if step > 1 and step % state.logging_steps == 0 and self.trainer.args.writes_own_checkpoints:
            self.run.gradients.look(kwargs["model"])

    def _restore_random(self) -> None:
        if self.random is not None:
            states.set_random_state(self.random)
            self.random = None

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.trained = True
        self.run.writing.settle(wait=False)
        if self.run.progress is not None:  # which transformers counts from where it was resumed
            state.epoch = state.global_step / state.max_steps
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
        if self.run.bad_data:  # what was trained before is kept, now and not after a long evaluation
            self._restore_random()
            control.should_save, control.should_evaluate, control.should_log = True, False, self.trained
        elif self.stopped or not self.trained:  # not the end of an epoch, and the checkpoint is written already
            control.should_save = control.should_evaluate = control.should_log = False
        self._check_numbers(control, kwargs.get("model"))

    def _check_numbers(self, control: TrainerControl, model: Any) -> None:
        """Stop before numbers that are not finite are logged, measured or saved."""
        if control.should_training_stop or control.should_save or control.should_evaluate:
            self.run.guard.check(model)
        elif control.should_log:
            self.run.guard.check()

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        forget_early_steps(state.log_history)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        facts = order_of_data(self.run.job, args, ordered=bool(self.run.order or self.run.progress))
        write, parts, later = None, None, False
        if self.trainer.args.writes_own_checkpoints:
            if state.best_global_step == state.global_step:
                state.best_model_checkpoint = str(self.run.job.output_dir / f"checkpoint-{state.global_step}")
            contents = self.trainer.contents()
            write = partial(self.trainer.write_checkpoint, contents=contents)
            spread = spread_of(self.run.job.model)
            later = spread is not None and spread.background and not args.load_best_model_at_end
            if contents.parts is not None:
                parts = partial(self.trainer.write_parts, contents=contents, later=later)
        limit, best = self.save_total_limit, state.best_model_checkpoint
        if self.run.keep_checkpoint(state.global_step, facts, limit, best, write, parts, later):
            self.kept_best = _best(state)
        elif state.best_global_step == state.global_step:  # the best of those that are there is the one before
            state.best_metric, state.best_global_step, state.best_model_checkpoint = self.kept_best


def _best(state: TrainerState) -> tuple[Any, ...]:
    return state.best_metric, state.best_global_step, state.best_model_checkpoint


def forget_early_steps(history: list[dict[str, Any]], most: int = 500) -> None:
    """Keep the newest logged steps of a Trainer's history, and all evaluations, in which early stopping counts.

    It is in memory, and in every checkpoint, for as long as a run lasts; trackers keep the steps.
    """
    steps = [place for place, entry in enumerate(history) if "loss" in entry]
    for place in reversed(steps[:-most]):
        del history[place]


def begin_epoch(job: TrainingJob, epoch: int) -> None:
    """Have the training data draw its examples of an epoch, counted from 0, where they differ between epochs."""
    if hasattr(job.data.train, "set_epoch"):
        job.data.train.set_epoch(epoch)


def order_of_data(job: TrainingJob, arguments: TrainingArguments, ordered: bool = False) -> dict[str, int]:
    """What decides which examples a step sees; a resumed run compares it. A stream has 0 examples.

    Args:
        ordered: by an `Order` or a `Progress`, which keep to their steps whatever the number of processes.
    """
    train = job.data.train
    counted = hasattr(train, "__len__")
    if ordered and (counted or hasattr(train, "share")):
        return {"num_examples": len(train) if counted else 0, "seed": arguments.seed}
    return {
        "num_examples": len(train) if counted else 0,
        **({} if counted or hasattr(train, "share") else {"dataloader_num_workers": arguments.dataloader_num_workers}),
        "seed": arguments.seed,
        "world_size": arguments.world_size,
        "per_device_train_batch_size": arguments.per_device_train_batch_size,
        "gradient_accumulation_steps": arguments.gradient_accumulation_steps,
    }


def checkpoint_of(run: Run, arguments: TrainingArguments, ordered: bool = False) -> str | None:
    """What `Trainer.train` is to resume from. All processes call it.

    Args:
        ordered: as of `order_of_data`.
    """
    found = run.newest_checkpoint(order_of_data(run.job, arguments, ordered))
    return str(found) if found else None
