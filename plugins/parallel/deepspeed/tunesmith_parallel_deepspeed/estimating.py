"""What a process needs under ZeRO; without torch and DeepSpeed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tunesmith_library_estimates.changes import Change
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_estimates.spreading import Started, among, of_machine
from tunesmith_library_estimates.zero import Zero, sharded_by_zero

from .settings import configuration, offloaded, stage_of

if TYPE_CHECKING:
    from . import Deepspeed


def estimate_zero(options: Deepspeed, estimate: Estimate) -> Estimate:
    """Divide what the stage says, as the options and the file have it."""
    started = Started(*options.counts(estimate.machine.count))
    made = among(estimate, started)
    made = sharded_by_zero(made, Zero.of(configuration(options), started.total, started.local))
    return of_machine(made, started).offering(*_lighter(options, made, started.total))


def _lighter(options: Deepspeed, made: Estimate, total: int) -> Iterator[Change]:
    stage = stage_of(options)
    for higher in range(stage + 1, 4):
        yield Change((f"parallel.stage={higher}",), "time", "more is sent" if higher == 3 else "about as much is sent")
    on_device = made.machine.device != "cpu"
    if on_device and stage and offloaded(options, "offload_optimizer") == "none":
        yield Change(("parallel.offload_optimizer=cpu",), "time", "the host's memory has the states, and its CPU steps")
    if on_device and stage == 3 and offloaded(options, "offload_param") == "none":
        yield Change(("parallel.offload_param=cpu",), "time", "weights come from the host's memory in each pass")
    for count in (2 * total, 4 * total, 8 * total):
        if options.processes is not None and options.nodes == 1:
            yield Change((f"parallel.processes={count}",), "hardware", f"{count} devices")
