"""What keeps a run from being started on Ray as asked; found without Ray."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from tunesmith.planning import Plan
from tunesmith.types import Problem

if TYPE_CHECKING:
    from . import Ray

_GPU = "GPU"  # as Ray names it


def problems_of(options: Ray, plan: Plan) -> list[Problem]:
    """Rules between the options, and with other plugins."""
    found = _number_problems(options, plan)
    if importlib.util.find_spec("ray") is None:
        found.append(Problem("parallel", "parallel=ray needs Ray, which is not installed.", "pip install ray"))
    if options.address is not None and "://" in options.address:
        message = f"parallel.address={options.address}: a run is started from a machine of the cluster."
        advice = f"there, without parallel.address: ray job submit -- tunesmith {plan.command} …"
        found.append(Problem("parallel.address", message, advice))
    gpus = options.resources.get(_GPU, 0)
    if gpus not in (0, 1):
        message = f"parallel.resources.GPU={gpus:g}: each process trains on one GPU, or on none."
        found.append(Problem("parallel.resources", message, "parallel.resources.GPU=1, and more processes"))
    elif gpus and plan.get("trainer.use_cpu"):
        message = "parallel.resources.GPU=1 reserves GPUs, and trainer.use_cpu=true leaves them idle."
        found.append(Problem("parallel.resources", message, "leave one of them out"))
    if not options.resources.keys() - {_GPU} and options.resources:
        message = f"parallel.resources={options.resources} reserves no CPU, so that Ray puts no bound on the processes."
        found.append(Problem("parallel.resources", message, "parallel.resources={CPU: 1, GPU: 1}", "warning"))
    return found


def _number_problems(options: Ray, plan: Plan) -> list[Problem]:
    processes, fewest = options.processes, options.min_processes
    found = []
    optimizer = plan.traits("optimizer")
    if processes is None and plan.command == "train":
        if plan.get("trainer.use_cpu"):
            message = "one process per GPU was asked for, and trainer.use_cpu=true."
            found.append(Problem("parallel.processes", message, "write parallel.processes=2"))
        if optimizer is not None and optimizer.one_process:
            message = f"optimizer={plan.name('optimizer')} trains in one process, and one per GPU was asked for."
            found.append(Problem("parallel.processes", message, "leave parallel out, or take another optimizer"))
    if fewest is None:
        return found
    if processes is None:
        message = f"parallel.min_processes={fewest} needs to know of how many."
        return [*found, Problem("parallel.processes", message, "write parallel.processes=8")]
    stage = plan.traits("stage")
    if stage is not None and stage.generates:
        message = (
            f"parallel.min_processes: in stage={plan.name('stage')} fewer processes would learn from fewer answers."
        )
        found.append(Problem("parallel.min_processes", message, "leave it out"))
    possible = [number for number in range(1, processes + 1) if processes % number == 0]
    if fewest not in possible:
        message = f"parallel.min_processes={fewest}: only a divisor of {processes} processes keeps the global batch."
        numbers = ", ".join(map(str, possible[:-1]))
        found.append(Problem("parallel.min_processes", message, f"possible: {numbers}"))
    if options.placement.startswith("STRICT") and fewest < processes:
        message = f"parallel.placement={options.placement} with fewer processes takes fewer machines, too."
        found.append(Problem("parallel.placement", message, "PACK or SPREAD prefer, and do not insist", "warning"))
    return found
