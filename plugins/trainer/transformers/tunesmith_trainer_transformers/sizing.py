"""How many examples go through the model at once: `auto` for training and for evaluations.

What a step has is decided by the options alone, so that the result does not depend on the machine. Of those examples as
many go through at once as fit by the closed forms of `library.estimates`, at the longest ones of the data.
"""

from __future__ import annotations

import bisect
import copy
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from tunesmith import TunesmithError, announce
from tunesmith.types import TrainingJob
from tunesmith_library_estimates.room import Room
from tunesmith_library_estimates.sizes import in_words
from tunesmith_library_training import processes
from tunesmith_library_training.lengths import longest

from tunesmith_trainer_transformers.memory import longest_batch, peak, peak_of_evaluation, room_of
from tunesmith_trainer_transformers.step_size import UNKNOWN, examples_of_a_process, sizes

if TYPE_CHECKING:
    from tunesmith_trainer_transformers import Transformers

_MOST_OF_EVALUATION = 64  # examples: larger batches of an evaluation gain nothing
_SIZE = "trainer.per_device_train_batch_size"

MESSAGES = (
    "{option}: {size} ({fits}: {needed} at the longest {count}, and {filled} of {total} may be filled; {of_step})",
    "{option}: {size} ({fits}: {needed} at the longest {count}, and {filled} of {total} may be filled)",
)
"""What is announced of a size, for catalogues of other languages."""


def settled(
    options: Transformers, job: TrainingJob, stands_for: int = 1, room: Callable[[str], Room | None] = room_of
) -> Transformers:
    """The options with numbers in the place of `auto`, and the examples of a step; said. All processes call it.

    Args:
        stands_for: processes of the step for which this one stands.
        room: gives the memory of a device.

    Raises: TunesmithError where a stream's steps of that many examples cannot be cut so.
    """
    made = copy.copy(options)
    if "auto" in (options.per_device_train_batch_size, options.per_device_eval_batch_size):
        processes.join(options.use_cpu)  # they decide together
    device = kind_of_device(options)
    each = examples_of_a_process(options, processes.shares())
    if options.global_batch_size is not None:
        made._examples = options.global_batch_size
    if options.per_device_train_batch_size == "auto":
        made._examples = made._examples or each * processes.shares() * stands_for
        streams = not hasattr(job.data.train, "__len__")
        made.per_device_train_batch_size, why = _largest(made, job, each, streams, room(device))
        announce(_SIZE, made.per_device_train_batch_size, why)
    if options.per_device_eval_batch_size == "auto":
        made.per_device_eval_batch_size = _of_evaluation(made, job, room(device))
    micro = int(made.per_device_train_batch_size)
    if made._examples and not hasattr(job.data.train, "__len__") and made._examples % (micro * processes.shares()):
        raise TunesmithError(
            f"trainer.global_batch_size={made._examples}: a stream's step is whole forward passes, of {micro} examples "
            f"in each of {processes.shares()} shares.\n  choose a multiple of that, or {_SIZE}=1"
        )
    return made


def kind_of_device(options: Transformers) -> str:
    """That is trained on, as torch names its kind."""
    accelerator = None if options.use_cpu else torch.accelerator.current_accelerator(check_available=True)
    return "cpu" if accelerator is None else accelerator.type


def _largest(options: Transformers, job: TrainingJob, each: int, streams: bool, there: Room | None) -> tuple[int, str]:
    """The examples of a forward pass, the same on all processes, and why.

    Args:
        each: examples of a step, in this process.
        streams: a step is cut into passes that all have as many.
        there: the memory of the device.
    """
    of_step = f"a step has {each} of each process; trainer.global_batch_size changes that"
    found = sizes(each, even=streams)
    if there is None or _tokens(options, job, 1) is None:
        least = [size for size in found if size <= UNKNOWN][-1]
        what = "the memory of the device" if there is None else "how long the examples are"
        return min(processes.gathered(least)), f"{what} is not known; {of_step}"

    def too_large(size: int, again: bool) -> bool:
        return not there.holds(_needed(options, job, size, again))

    supported = bool(getattr(job.model, "supports_gradient_checkpointing", False))
    open_, own = options.gradient_checkpointing == "auto", options.gradient_checkpointing not in (False, "auto")
    again = own or (open_ and supported and any(processes.gathered(too_large(found[0], False))))
    place = bisect.bisect_left(found, True, key=lambda size: too_large(size, again))
    size: int = min(processes.gathered(found[max(place - 1, 0)]))
    needed = _needed(options, job, size, again)
    fits = "all of the step's at once" if size == each else "the largest that fits"
    filled, total = in_words(there.share * there.total), in_words(there.total)
    return size, f"{fits}: {in_words(needed)} at the longest {size}, and {filled} of {total} may be filled; {of_step}"


def _needed(options: Transformers, job: TrainingJob, size: int, again: bool) -> float:
    return peak(_with(options, size), job, _tokens(options, job, size) or 0, again)


def _tokens(options: Transformers, job: TrainingJob, size: int) -> int | None:
    return longest_batch(_with(options, size), job)


def _with(options: Transformers, size: int) -> Transformers:
    made = copy.copy(options)
    made.per_device_train_batch_size = size
    return made


def _of_evaluation(options: Transformers, job: TrainingJob, there: Room | None) -> int:
    """The examples of a forward pass of an evaluation, the same on all processes; said where something is evaluated."""
    sets = [examples for examples in job.data.eval.values() if len(examples)]
    lengths = [longest(examples, _MOST_OF_EVALUATION) for examples in sets]
    if not sets:
        return UNKNOWN
    if there is None or not all(lengths):
        found, why = UNKNOWN, "how much is needed or there is not known"
    else:

        def needed(size: int) -> float:
            known = [found[:size] for found in lengths if found]
            most = max(sum(found) if options.padding_free else len(found) * found[0] for found in known)
            return peak_of_evaluation(options, job, most)

        found = _MOST_OF_EVALUATION
        while found > 1 and not there.holds(needed(found)):
            found //= 2
        why = f"{in_words(needed(found))} at the longest of {in_words(there.total)}"
    size: int = min(processes.gathered(found))
    announce("trainer.per_device_eval_batch_size", size, why)
    return size


def passes_of(options: Transformers) -> int:
    """The forward passes of a step that the options ask for, in each process; once they are settled."""
    if not options._examples:
        return options.gradient_accumulation_steps
    return math.ceil(options._examples / (int(options.per_device_train_batch_size) * processes.shares()))
