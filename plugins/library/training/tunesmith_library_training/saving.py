"""The result of a training, written as a whole or not at all."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith import TunesmithError, announce
from tunesmith.files import filling
from tunesmith.messages import logger
from tunesmith.types import TrainingJob
from tunesmith_library_configuration import space

from tunesmith_library_training import checkpoints, processes

if TYPE_CHECKING:
    from tunesmith_library_training.outcome import Outcome

GATHERED_FILE = "5GB"
"""Largest file of gathered weights: a file is copied to be written, and they fill the host's memory already."""

_LAST = ("adapter_config.json", "config.json")  # their presence says that a result is whole


def save(job: TrainingJob, outcome: Outcome) -> None:
    """Write the adapter or the whole model, and the processor, into the run's folder; never half of them.

    Raises: TunesmithError with what to do when the disk does not take it; what it was made from stays.
    """
    if processes.is_main():
        _give_back()
        with _told_of_disks(job), filling(job.output_dir, last=_LAST) as draft:
            _write(job, outcome, draft)
            if outcome.beside is not None:
                outcome.beside(draft)
    processes.wait()


def _give_back() -> None:
    """Give memory that is free back to the system: what gradients and activations left, beside which a result is made.

    Where the C library has no `malloc_trim` (it is GNU's), nothing happens.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _write(job: TrainingJob, outcome: Outcome, folder: Path) -> None:
    """Write a whole model as it was published, an adapter with the names of the published class."""
    from tunesmith_library_publishing import adapters, whole

    model = job.model if outcome.model is None else outcome.model
    base = whole.base_of(model)
    if base is not None:
        try:
            largest = whole.LARGEST_FILE if outcome.weights is None else GATHERED_FILE
            result = whole.save_whole(
                model, job.processor, job.template, base, folder, weights=outcome.weights, max_shard_size=largest
            )
        except TunesmithError as error:  # what was trained is saved all the same
            logger.warning("what the run did not load of its base is left out of the result: %s", error)
        else:
            if result.tensors.unloaded:
                announce("tensors", result.tensors.described(), f"written as {result.class_name}")
            return
    options = {} if outcome.weights is None else {"state_dict": outcome.weights}
    job.processor.save_pretrained(folder)
    model.save_pretrained(folder, **options)
    adapters.publish(model, folder)


@contextlib.contextmanager
def _told_of_disks(job: TrainingJob) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not space.is_of_disk(error):
            raise
        kept = checkpoints.complete(job.output_dir)
        then = f"goes on from {kept[-1].name}" if kept else "begins anew, for there is no checkpoint"
        raise TunesmithError(
            f"{job.output_dir}: the result cannot be written: {space.shortage(error, job.output_dir)}.\n"
            f"free some; then this {then}: tunesmith train {job.output_dir} resume=true"
        ) from error
