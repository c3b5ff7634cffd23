"""Whether the micro-batches of a step are merged, and to how many tokens: `merge_accumulation=auto`.

A micro-batch as it was asked for is memory that the user accepted, so merged batches may be as large as the largest of
these can be. They are larger where products gain by that and the memory of the device holds it. That is a fixed rule: a
resumed run decides as it did before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunesmith import announce
from tunesmith.types import TrainingJob
from tunesmith_library_estimates.room import AMPLY
from tunesmith_library_estimates.sizes import in_words
from tunesmith_library_training.media import columns_of
from tunesmith_library_training.routing import coefficient_in_use

from tunesmith_trainer_transformers.estimating import enough
from tunesmith_trainer_transformers.memory import longest_batch, peak, room_of
from tunesmith_trainer_transformers.sizing import passes_of
from tunesmith_trainer_transformers.spreading import is_spread

if TYPE_CHECKING:
    from tunesmith_trainer_transformers import Transformers


def merged_tokens(
    options: Transformers, job: TrainingJob, *, padding_free: bool, device: str, recomputes: bool
) -> int | None:
    """Tokens of a merged batch, at most; None where micro-batches are run as they are. Said once, either way.

    Args:
        padding_free: whether this model's batches are.
        device: that is trained on, as torch names its kind.
        recomputes: activations are computed again in the backward pass.
    """
    count, size = passes_of(options), int(options.per_device_train_batch_size)
    if count == 1 or not options.merge_accumulation:
        return None
    reason = _unmerged(options, job, padding_free)
    accepted = longest_batch(options, job)
    if not reason and accepted is None:
        reason = "how long the examples are is not known"
    if reason or accepted is None:
        announce("micro-batches", "not merged", reason)
        return None
    tokens = accepted if _shows(job) else max(accepted, _held(options, job, device, recomputes))
    needed = in_words(peak(options, job, tokens, recomputes))
    announce(
        "micro-batches",
        "merged",
        f"of the {count:,} of a step, of {size:,} each, as many become one as have up to {tokens:,} tokens, "
        f"which needs {needed}; trainer.merge_accumulation=false runs each alone",
    )
    return tokens


def _unmerged(options: Transformers, job: TrainingJob, padding_free: bool) -> str:
    """Why micro-batches are not merged; empty where they can be."""
    if is_spread(options):
        return "the processes that share a model must run as many batches each"
    if not padding_free:
        return "batches are padded"
    if options._not_additive:
        return options._not_additive
    if coefficient_in_use(job.model):
        return "the balance loss of the routers is of a batch as a whole"
    if _shows(job) and options.dataloader_num_workers:
        return "images and sounds are read by workers, a micro-batch at a time"
    return ""


def _shows(job: TrainingJob) -> bool:
    """Whether examples may show something, which takes memory that their tokens do not tell of."""
    return bool(columns_of(job.processor))


def _held(options: Transformers, job: TrainingJob, device: str, recomputes: bool) -> int:
    """Tokens from which on larger batches gain nothing, or half as many, and so on, until memory holds them."""
    room, tokens = room_of(device), enough(device)
    if room is None:
        return 0
    while tokens and not room.holds(AMPLY * peak(options, job, tokens, recomputes)):
        tokens //= 2
    return tokens
