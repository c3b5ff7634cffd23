"""How many examples of a step go through the model at once, where a run leaves that open: as many as fit."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from dataclasses import replace

from tunesmith_library_estimates.estimation import Estimate

_UNKNOWN = 8  # examples where nobody tells how much memory there is, or how long they are


def settled_at_once(ask: Callable[[int], Estimate]) -> Estimate:
    """The estimate of a run with a number of examples in a forward pass; said in `shares` where it was open.

    Activations are computed again only where a single example would not fit else, and that is open too.

    Args:
        ask: the estimate with so many at once; with 0 those that are written, or where it is open all of a step's.
    """
    whole = ask(0)
    each, room = whole.of_step, whole.machine.room
    if not each:
        return whole
    found = sorted({math.ceil(each / passes) for passes in range(1, each + 1)})
    if room is None or not whole.tokens:
        size, why = [size for size in found if size <= _UNKNOWN][-1], "how many fit is not known"
    else:
        first = ask(found[0])

        def is_too_large(size: int) -> bool:
            made = ask(size)
            return made.computes_again != first.computes_again or not room.holds(made.peak[1])

        place = bisect.bisect_left(found, True, key=is_too_large)
        size = found[max(place - 1, 0)]
        why = "all of them fit" if size == each else "the largest number that fits"
        why = why if place else "and even that does not fit"
    made = ask(size)
    said = f"trainer.per_device_train_batch_size=auto: {size:,} of the {each:,} examples of a step at once ({why})"
    return replace(made, shares=(*made.shares, said))
