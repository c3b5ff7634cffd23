"""What one of several copies of the model needs; without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_estimates.spreading import Started, among, of_machine, replicated

if TYPE_CHECKING:
    from tunesmith_parallel_ddp import Ddp


def estimate_copies(options: Ddp, estimate: Estimate) -> Estimate:
    """Add the buckets in which gradients are summed up."""
    started = Started(*options.counts(estimate.machine.count))
    made = among(estimate, started, options.sharing(started.total))
    made = options.estimate_sequences(made, started.total)
    return of_machine(replicated(made, started.total), started)
