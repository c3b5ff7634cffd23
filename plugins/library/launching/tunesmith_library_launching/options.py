"""The options of plugins that start the processes of a run, and what they do with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from tunesmith import TunesmithError
from tunesmith.planning import Plan
from tunesmith.ranges import at_least, filled
from tunesmith.types import Problem


@dataclass(eq=False, kw_only=True)
class Processes:
    """How many processes a run has, and where; for plugins of the kind `parallel`.

    On several machines the same command is given on each, with its own `node_rank`.
    """

    guarded: ClassVar[tuple[str, ...]] = ("master",)  # another machine, that this one would follow

    # on this machine; null is one for each of its GPUs
    processes: Annotated[int | None, at_least(1, most=1_024)] = None
    nodes: Annotated[int, at_least(1, most=65_536)] = 1  # machines
    node_rank: Annotated[int, at_least(0, most=65_536)] = 0  # which of them this one is, counted from 0
    # HOST:PORT on the first machine, where they find together; null: a free port of this one
    master: Annotated[str | None, filled] = None

    @property
    def total(self) -> int | None:
        """The processes on all machines; None where they are known only when they start."""
        return self.processes and self.processes * self.nodes

    def process_problems(self, plan: Plan) -> list[Problem]:
        """What keeps the processes from being started as asked."""
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

    def start(self, command: Sequence[str]) -> int:
        """Run a command in every process of this machine, and wait for all; for the hook `launch`.

        Raises: TunesmithError when one per GPU was asked for, and there is none.
        """
        from .workers import Group, launch

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
