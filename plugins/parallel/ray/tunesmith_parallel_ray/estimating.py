"""What one of Ray's processes needs: as the plugin that spreads the model says, or a copy of it; without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tunesmith.planning import Plan
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_estimates.spreading import Started, among, of_machine, replicated

if TYPE_CHECKING:
    from tunesmith_parallel_ray import Ray


def estimate_workers(options: Ray, spread: Any, estimate: Estimate, plan: Plan) -> Estimate:
    """The estimate of a process; the machines of a cluster are taken for such as it is planned for."""
    made = estimate
    if options.processes is None:
        made = made.without(f"how many processes the cluster has room for: {estimate.machine.count} are counted")
    if hasattr(spread, "estimate"):
        found: Estimate = spread.estimate(estimate=made, plan=plan)
        return found
    if spread is not None:
        return made.without(f"parallel.sharding={options.sharding} does not say what it costs")
    devices = estimate.machine.count
    total = options.processes or devices
    started = Started(total, min(total, devices) if devices > 1 else total)
    return of_machine(replicated(among(made, started), total), started)
