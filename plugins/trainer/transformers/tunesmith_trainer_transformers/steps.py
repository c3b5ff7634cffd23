"""How many examples a step has, and which: as the options say, and in a run that goes on as it had them before."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
import transformers
from transformers import Trainer, TrainerCallback
from tunesmith import TunesmithError, announce
from tunesmith.messages import logger
from tunesmith_library_configuration import manifests
from tunesmith_library_configuration.launchers import STANDS_FOR
from tunesmith_library_configuration.records import MARKER, steps_of
from tunesmith_library_training import lengths, processes
from tunesmith_library_training.envelope import Run
from tunesmith_library_training.shares import ORDER, Order, StepSize
from tunesmith_library_training.streams import STATE, Progress

from tunesmith_trainer_transformers.passes import kept_limits
from tunesmith_trainer_transformers.sizing import passes_of

if TYPE_CHECKING:
    from tunesmith_trainer_transformers import Transformers

_SIZE, _PASSES, _WHOLE = "per_device_train_batch_size", "gradient_accumulation_steps", "global_batch_size"


class Epochs(TrainerCallback):
    """Tells an order which epoch begins, and a Trainer how much of it is behind: the same with any micro-batches."""

    def __init__(self, order: Order) -> None:
        self.order = order

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.order.epoch = int(state.epoch or 0.0)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        state.epoch = self.order.epochs(state.global_step)


def order_of(options: Transformers, run: Run) -> Order | None:
    """The order in which counted training data come, from where the run goes on; None of a stream.

    A run that goes on keeps the examples of a step, on any number of processes and with any batch size, unless
    gradient_accumulation_steps is another one: then they are as the options say from here on.
    """
    train = run.job.data.train
    if not hasattr(train, "__len__"):
        return None
    told = _told(run.resumed, len(train)) if run.resumed is not None else None
    size = StepSize(_asked(options), int(options.per_device_train_batch_size), processes.shares())
    if told is not None and _keeps(options, told, told["batch"]):
        size = StepSize(told["batch"], size.micro_batch, size.shares)
    order = Order(len(train), size, processes.share(), _places(options, run), lambda: _sizes(train))
    order.facts = _facts(options, told)
    if told is not None and run.resumed is not None:
        order.go_on(steps_of(run.resumed), told["epoch"], told["examples"])
    if order.shift and not hasattr(Trainer, "_init_training_state"):
        raise TunesmithError(
            f"transformers {transformers.__version__} cannot find the place of a run whose steps had other numbers of "
            f"examples than {size.batch} before.\n  pip install --upgrade transformers"
        )
    return order


def progress_of(options: Transformers, run: Run) -> Progress | None:
    """Where training data that are read in shares are gone on with; None for other data, which are read on to there."""
    if not hasattr(run.job.data.train, "share"):
        return None
    most, passes = int(options.per_device_train_batch_size), options.gradient_accumulation_steps * stands_for()
    if options._examples:
        passes = options._examples // (most * processes.shares())
    if run.resumed is None:
        progress = Progress.begin(options.dataloader_num_workers, most, passes)
    else:
        told = manifests.told(run.resumed, MARKER).get(STATE)
        if not told:
            if processes.is_main():
                logger.warning(
                    "%s does not say where it was in the stream, as those of earlier versions do not: as many batches "
                    "are passed over from the beginning, in the order of now",
                    run.resumed.name,
                )
            return None
        progress = Progress.resumed(told, most, passes)
        if not _keeps(options, told, progress.piece * progress.step):
            progress.piece, progress.step = most, passes * processes.shares()
    progress.facts = _facts(options, None if run.resumed is None else told)
    return progress


def _facts(options: Transformers, told: Mapping[str, Any] | None) -> dict[str, int]:
    """What checkpoints tell of a step beside its place, and what memory held before where the size is as it was then.

    Args:
        told: by the checkpoint that the run goes on from.
    """
    facts = {_PASSES: options.gradient_accumulation_steps, _SIZE: int(options.per_device_train_batch_size)}
    facts[_WHOLE] = options.global_batch_size or 0
    limits = kept_limits(told) if told is not None and told.get(_SIZE) == facts[_SIZE] else {}
    return {**facts, **limits} if processes.count() == 1 else facts


def accumulation_of(options: Transformers, run: Run) -> int:
    """The forward passes of a step in each process, announced where they are not as the options say.

    What a step of several processes has is told, too.
    """
    asked, most = passes_of(options), int(options.per_device_train_batch_size)
    if run.order is not None:
        found, batch = run.order.size.accumulation, run.order.size.batch
    elif run.progress is not None:
        found, batch = run.progress.accumulation, run.progress.step * run.progress.piece
    else:
        found, batch = asked, _asked(options)
    processes.tell(batch, spread=options._spread)
    if found != asked:
        shares = processes.shares()
        why = f"{batch} examples in {shares} {'shares' if shares > 1 else 'share'}, up to {most} of each at once"
        announce("forward passes of a step", found, why)
    return found


def _keeps(options: Transformers, told: Mapping[str, Any], batch: int) -> bool:
    """Whether a run that goes on keeps the examples of a step, of which there were so many; announced.

    Args:
        told: by the checkpoint.
    """
    asked = _asked(options)
    if batch == asked:
        return True
    passes, whole = options.gradient_accumulation_steps, options.global_batch_size or 0
    kept = bool(told.get(_PASSES, passes) == passes and told.get(_WHOLE, 0) == whole)
    if kept:
        announce("examples of a step", f"{batch}, as before", f"another trainer.{_PASSES} would change them")
    else:
        announce("examples of a step", f"{asked} in place of {batch}", "the rest of the epoch is trained so too")
    return kept


def _asked(options: Transformers) -> int:
    """The examples of a step by the options."""
    size = int(options.per_device_train_batch_size) * options.gradient_accumulation_steps
    return options._examples or size * processes.shares() * stands_for()


def stands_for() -> int:
    """Processes of a step for which each one stands."""
    return int(os.environ.get(STANDS_FOR, "1"))


def _told(checkpoint: Any, count: int) -> Mapping[str, int] | None:
    """What a checkpoint tells of its order; found out where an earlier version wrote it.

    Args:
        count: examples of an epoch.
    """
    said = manifests.told(checkpoint, MARKER)
    if ORDER in said:
        return dict(said[ORDER])
    facts = said.get("facts", said)
    if not all(name in facts for name in ("world_size", _SIZE, _PASSES)):
        return None
    batch = facts["world_size"] * facts[_SIZE] * facts[_PASSES]
    epoch, within = divmod(steps_of(checkpoint), -(-count // batch))
    return {"epoch": epoch, "examples": within * batch, "batch": batch, _PASSES: facts[_PASSES]}


def _places(options: Transformers, run: Run) -> Callable[[int], list[int]]:
    """The order of the examples in an epoch."""
    count, seed = len(run.job.data.train), run.job.seed

    def places(epoch: int) -> list[int]:
        if options.train_sampling_strategy == "sequential":
            return list(range(count))
        found: list[int] = torch.randperm(count, generator=torch.Generator().manual_seed(seed + epoch)).tolist()
        return found

    return places


def _sizes(train: Any) -> list[int] | None:
    found = lengths.every(train)
    return None if found is None else found.tolist()
