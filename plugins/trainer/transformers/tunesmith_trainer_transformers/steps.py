"""How many examples a step has, and which: as the options say, and in a run that goes on as it had them before."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback
from tunesmith import announce
from tunesmith_library_configuration import manifests
from tunesmith_library_configuration.records import MARKER, steps_of
from tunesmith_library_training import lengths, processes
from tunesmith_library_training.envelope import Run
from tunesmith_library_training.shares import ORDER, Order, StepSize

if TYPE_CHECKING:
    from tunesmith_trainer_transformers import Transformers

_STANDS_FOR = "TUNESMITH_STANDS_FOR"  # of how many processes each takes the place, of a launcher that found too few


def order_of(options: Transformers, run: Run) -> Order | None:
    """The order in which counted training data come, from where the run goes on; None of a stream.

    A run that goes on keeps the examples of a step, on any number of processes and with any batch size, unless
    gradient_accumulation_steps is another one: then they are as the options say from here on.
    """
    train = run.job.data.train
    if not hasattr(train, "__len__"):
        return None
    told = told_of(run, len(train)) if run.resumed is not None else None
    order = Order(len(train), _size(options, told), processes.share(), _order(options, run), lambda: _sizes(train))
    order.facts = {"gradient_accumulation_steps": options.gradient_accumulation_steps}
    if run.resumed is not None and told is not None:
        order.go_on(steps_of(run.resumed), told["epoch"], told["examples"])
    return order


def _order(options: Transformers, run: Run) -> Any:
    count, seed = len(run.job.data.train), run.job.seed

    def places(epoch: int) -> list[int]:
        if options.train_sampling_strategy == "sequential":
            return list(range(count))
        found: list[int] = torch.randperm(count, generator=torch.Generator().manual_seed(seed + epoch)).tolist()
        return found

    return places


def _sizes(train: Any) -> Any:
    found = lengths.every(train)
    return None if found is None else found.tolist()


def told_of(run: Run, count: int) -> Mapping[str, int] | None:
    """What the run's checkpoint tells of its order; found out where an earlier version wrote it.

    Args:
        count: examples of an epoch.
    """
    assert run.resumed is not None
    said = manifests.told(run.resumed, MARKER)
    if ORDER in said:
        return dict(said[ORDER])
    facts = said.get("facts", said)
    named = ("world_size", "per_device_train_batch_size", "gradient_accumulation_steps")
    if not all(name in facts for name in named):
        return None
    batch = facts[named[0]] * facts[named[1]] * facts[named[2]]
    epoch, within = divmod(steps_of(run.resumed), -(-count // batch))
    return {"epoch": epoch, "examples": within * batch, "batch": batch, named[2]: facts[named[2]]}


def _size(options: Transformers, told: Mapping[str, int] | None) -> StepSize:
    """Of a step, which is announced where it is not as the options say, or not as it was."""
    micro_batch, accumulation = options.per_device_train_batch_size, options.gradient_accumulation_steps
    shares = processes.shares()
    asked = micro_batch * accumulation * shares * int(os.environ.get(_STANDS_FOR, "1"))
    if told is None or told["batch"] == asked:
        size = StepSize(asked, micro_batch, shares)
    elif told["gradient_accumulation_steps"] == accumulation:
        size = StepSize(told["batch"], micro_batch, shares)
        announce("examples of a step", f"{size.batch} as before", "trainer.gradient_accumulation_steps sets another")
    else:
        size = StepSize(asked, micro_batch, shares)
        why = "the rest of the epoch and those after it are trained so"
        announce("examples of a step", f"{asked} in place of {told['batch']}", why)
    if size.accumulation != accumulation:
        why = f"{size.batch} examples in {shares} {'shares' if shares > 1 else 'share'} of up to {micro_batch} at once"
        announce("forward passes of a step", size.accumulation, why)
    return size


class Epochs(TrainerCallback):
    """Tells an order which epoch begins."""

    def __init__(self, order: Order) -> None:
        self.order = order

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.order.epoch = int(state.epoch or 0.0)
