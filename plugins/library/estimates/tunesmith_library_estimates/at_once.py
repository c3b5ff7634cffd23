"""How many examples of a step go through the model at once, where a run leaves that open: as many as fit."""

from __future__ import annotations

import math
from dataclasses import replace

from tunesmith_library_estimates.estimation import Estimate, Phase

_UNKNOWN = 8  # examples where nobody tells how much memory there is, or how long they are


def settle_at_once(estimate: Estimate) -> Estimate:
    """The estimate with a number of sequences, and as many forward passes in a step as it takes; said in `shares`.

    Activations are computed again only where a single example would not fit else, and that is open too.
    """
    each, room = estimate.of_step, estimate.machine.room
    if not each:
        return estimate
    found = sorted({math.ceil(each / passes) for passes in range(1, each + 1)})
    if room is None or not estimate.tokens:
        size, why = [size for size in found if size <= _UNKNOWN][-1], "how many fit is not known"
    else:
        first = _at_once(estimate, found[0])
        again = bool(estimate.recomputed) and not room.holds(first.peak[1])

        def peak(size: int) -> float:
            made = _at_once(estimate, size)
            return (made.computing_again() if again else made).peak[1]

        size = max((size for size in found if room.holds(peak(size))), default=found[0])
        why = "the largest number that fits" if room.holds(peak(size)) else "and even that does not fit"
        why = "all of them fit" if size == each else why
    made = _at_once(estimate, size)
    said = f"trainer.per_device_train_batch_size=auto: {size:,} of the {each:,} examples of a step at once ({why})"
    return replace(made, of_step=0, shares=(*made.shares, said))


def _at_once(estimate: Estimate, size: int) -> Estimate:
    """The estimate with so many examples in a forward pass."""
    passes = math.ceil(estimate.of_step / size)
    made = replace(estimate, sequences=size * estimate.per_example, accumulated=passes)
    gradients = estimate.memory.get("gradients")
    if passes > 1 and gradients is not None:  # those of the passes before are there in all others
        phases: tuple[Phase, ...] = tuple(dict.fromkeys(("forward", *gradients.phases)))
        kept = replace(gradients, phases=phases)
        made = made.plus("gradients", kept)
    return made
