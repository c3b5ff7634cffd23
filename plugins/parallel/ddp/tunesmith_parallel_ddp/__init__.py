"""Distributed data parallel: the processes of a run, started on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from tunesmith import TunesmithError, hookimpl, plugin
from tunesmith.planning import Plan
from tunesmith.ranges import at_least, filled
from tunesmith.traits import ParallelTraits
from tunesmith.types import Problem


@plugin
class Ddp:
    """Processes that each train a share of every batch on a copy of the model (Li et al. 2020, arXiv 2006.15704).

    The trainer wraps the model; this starts the processes and sees to their end. On several machines the same command
    is given on each, with its own `node_rank`.
    """

    guarded: ClassVar[tuple[str, ...]] = ("master",)  # another machine, that this one would follow

    # on this machine; null is one for each of its GPUs
    processes: Annotated[int | None, at_least(1, most=1_024)] = None
    nodes: Annotated[int, at_least(1, most=65_536)] = 1  # machines
    node_rank: Annotated[int, at_least(0, most=65_536)] = 0  # which of them this one is, counted from 0
    # HOST:PORT on the first machine, where they find together; null: a free port of this one
    master: Annotated[str | None, filled] = None

    @property
    def traits(self) -> ParallelTraits:
        return ParallelTraits(processes=self.processes and self.processes * self.nodes)

    @hookimpl
    def check(self, plan: Plan) -> list[Problem]:
        problems = []
        if self.processes is None and plan.get("trainer.use_cpu"):
            message = "one process per GPU was asked for, and trainer.use_cpu=true."
            problems.append(Problem("parallel.processes", message, "write parallel.processes=2"))
        optimizer = plan.traits("optimizer")
        if optimizer is not None and optimizer.one_process and self.processes is None:
            message = f"optimizer={plan.name('optimizer')} trains in one process, and one per GPU was asked for."
            problems.append(Problem("parallel.processes", message, "leave parallel out, or take another optimizer"))
        if self.node_rank >= self.nodes:
            message = f"machine {self.node_rank}, counted from 0, is not one of {self.nodes}."
            problems.append(Problem("parallel.node_rank", message, f"possible: 0 to {self.nodes - 1}"))
        if self.nodes > 1 and self.master is None:
            message = f"{self.nodes} machines need a place where they find together."
            problems.append(Problem("parallel.master", message, "write parallel.master=HOST:PORT of the first one"))
        if self.master is not None and not self.master.rpartition(":")[2].isdigit():
            message = f"{self.master} is not HOST:PORT."
            problems.append(Problem("parallel.master", message, "for example parallel.master=10.0.0.1:29500"))
        return problems

    @hookimpl
    def launch(self, command: Sequence[str]) -> int:
        from .launching import Group, launch

        count = self.processes or _accelerators()
        return launch(command, Group(count, count * self.nodes, count * self.node_rank, self.master))


def _accelerators() -> int:
    """How many GPUs this machine has.

    Raises: TunesmithError when there are none.
    """
    import torch

    count = torch.accelerator.device_count()
    if count == 0:
        raise TunesmithError(
            "parallel.processes: one per GPU was asked for, and this machine has none.\n"
            "write parallel.processes=2 for two processes on its CPU"
        )
    return count
