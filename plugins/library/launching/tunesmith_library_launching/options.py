"""The options of plugins that start the processes of a run, and what they do with them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from tunesmith import TunesmithError, announce, hookimpl
from tunesmith.messages import logger
from tunesmith.planning import Plan
from tunesmith.ranges import at_least, between, filled
from tunesmith.types import Problem
from tunesmith_library_configuration.launchers import launched

from tunesmith_library_launching.devices import visible_gpus
from tunesmith_library_launching.surroundings import Place, launched_problems, place
from tunesmith_library_launching.workers import Care, Group


@dataclass(eq=False, kw_only=True)
class Processes:
    """How many processes a run has, and where; for plugins of the kind `parallel`.

    On several machines the same command is given on each, with its own `node_rank`. What SLURM, Kubernetes or MPI have
    started in several places at once needs none of these options.
    """

    guarded: ClassVar[tuple[str, ...]] = ("master",)  # another machine, that this one would follow

    # on this machine; null is one for each of its GPUs
    processes: Annotated[int | None, at_least(1, most=1_024)] = None
    nodes: Annotated[int, at_least(1, most=65_536)] = 1  # machines
    node_rank: Annotated[int, at_least(0, most=65_536)] = 0  # which of them this one is, counted from 0
    # HOST:PORT on the first machine, where all of them find together
    master: Annotated[str | None, filled] = None
    # how often a run that failed is started again, from its last checkpoint
    restarts: Annotated[int, at_least(0, most=1_000)] = 0
    # seconds without any progress after which processes hang; machines wait for one another as long
    timeout: Annotated[float, between(10, 604_800)] = 1_800.0

    _folder: Path | None = None
    _resume: bool = False

    @property
    def total(self) -> int | None:
        """The processes on all machines; None where they are known only when they start.

        Raises: TunesmithError when the environment contradicts itself.
        """
        if (count := launched()) is not None:
            return count
        found = self._place()
        if found is not None and found.is_process:
            return found.tasks
        each = self.processes or (found.processes if found else None)
        return each and each * (found.machines if found else self.nodes)

    def counts(self, devices: int) -> tuple[int, int]:
        """The processes on all machines, and those of one, before any is started.

        Args:
            devices: of a machine, for which there is a process each where nothing else is said.
        """
        found = self._place()
        machines = found.machines if found and not found.is_process else self.nodes
        total = self.total or max(devices, 1) * machines
        local = found.local_tasks if found and found.is_process else -(-total // machines)
        return total, max(local, 1)

    def _place(self) -> Place | None:
        """Where the command was started in several places; what the options say of machines counts before that."""
        return None if self.nodes > 1 else place()

    def process_problems(self, plan: Plan) -> list[Problem]:
        """What keeps the processes from being started as asked.

        Where another plugin starts them, such as Ray, that one says so. Once they are started, by whatever launcher,
        what it has told them counts alone.
        """
        starts = plan.plugin("parallel")
        if not (starts is None or starts is self):
            return []
        if (count := launched()) is not None:
            return launched_problems(count, self.processes)
        try:
            found = self._place()
        except TunesmithError as error:
            return [
                Problem("parallel", str(error), "unset these variables, or write parallel.nodes and parallel.master")
            ]
        return [*self._count_problems(plan, found), *self._machine_problems(found)]

    def _count_problems(self, plan: Plan, found: Place | None) -> list[Problem]:
        problems, on_cpu = [], bool(plan.get("trainer.use_cpu"))
        chosen = self.processes or (found and (found.processes or found.is_process))
        if not chosen and on_cpu:
            message = "one process per GPU was asked for, and trainer.use_cpu=true."
            problems.append(Problem("parallel.processes", message, "write parallel.processes=2"))
        optimizer = plan.traits("optimizer")
        if optimizer is not None and optimizer.one_process and not chosen:
            message = f"optimizer={plan.name('optimizer')} trains in one process, and one per GPU was asked for."
            problems.append(Problem("parallel.processes", message, "leave parallel out, or take another optimizer"))
        if found and found.is_process and self.processes not in (None, found.local_tasks):
            message = f"{self.processes} processes were asked for here, and {found.by} has started {found.local_tasks}."
            problems.append(Problem("parallel.processes", message, "leave it out, or start one task for each machine"))
        gpus = 0 if on_cpu else visible_gpus()
        if self.processes and gpus and self.processes > gpus and not (found and found.is_process):
            message = f"{self.processes} processes were asked for, and this machine has {gpus} GPUs that they may use."
            advice = (
                f"write parallel.processes={gpus}; or trainer.use_cpu=true; CUDA_VISIBLE_DEVICES says which may be used"
            )
            problems.append(Problem("parallel.processes", message, advice))
        return problems

    def _machine_problems(self, found: Place | None) -> list[Problem]:
        problems = []
        if self.node_rank >= self.nodes and not (found and self.nodes == 1):
            message = f"machine {self.node_rank}, counted from 0, is not one of {self.nodes}."
            problems.append(Problem("parallel.node_rank", message, f"possible: 0 to {self.nodes - 1}"))
        if self.nodes > 1 and self.master is None:
            message = f"{self.nodes} machines need a place where they find together."
            problems.append(Problem("parallel.master", message, "write parallel.master=HOST:PORT of the first one"))
        if self.master is not None and not _is_address(self.master):
            message = f"{self.master} is not HOST:PORT, with a port from 1 to 65535."
            problems.append(Problem("parallel.master", message, "for example parallel.master=10.0.0.1:29500"))
        if found and not (self.master or found.master):
            message = f"{found.by} started {found.tasks} processes, and does not say where they find together."
            problems.append(
                Problem("parallel.master", message, "write parallel.master=HOST:PORT of the first one's machine")
            )
        return problems

    @hookimpl
    def configured(self, plan: Plan) -> None:
        """Remember the run's folder; in a process that was launched, report to the launcher from now on."""
        from tunesmith_library_launching.reports import begin

        self._folder = Path(plan.run.output_dir).expanduser() if plan.run.output_dir else None
        self._resume = plan.run.resume
        begin()

    def start(self, command: Sequence[str]) -> int:
        """Run a command in every process of this machine, and wait for all; for the hook `launch`.

        Raises: TunesmithError when one per GPU was asked for, and there is none; when another machine does not come.
        """
        from tunesmith_library_launching.launching import launch

        spreads = bool(getattr(getattr(self, "traits", None), "spreads", ""))
        care = Care(self.timeout, self.restarts, self._folder, self._resume, spreads)
        return launch(command, self.group(), care)

    def group(self) -> Group:
        """The processes that are started here, among those of all machines.

        Raises: TunesmithError when one per GPU was asked for, and there is none.
        """
        found = self._place()
        if found is None:
            _tell_of_idle_machines(self.nodes)
            count = self.processes or _accelerators()
            first = count * self.node_rank
            return Group(count, count * self.nodes, first, self.master, self.node_rank, self.nodes)
        announce("parallel", found.described(), f"from {found.by}")
        master = self.master or found.master
        if found.is_process:
            own = visible_gpus() == 1 and found.local_tasks > 1  # then each task sees its GPU alone, as number 0
            local = {"local_rank": 0 if own else found.local_task, "local_count": found.local_tasks}
            return Group(1, found.tasks, found.task, master, found.task, found.tasks, **local)
        count = self.processes or found.processes or visible_gpus() or 1
        return Group(count, count * found.machines, count * found.machine, master, found.machine, found.machines)


def _tell_of_idle_machines(nodes: int) -> None:
    """Warn where SLURM gave several machines, and the command was started on one of them."""
    given = os.environ.get("SLURM_NNODES", "1")
    if nodes == 1 and given not in ("", "1") and "SLURM_STEP_NUM_TASKS" not in os.environ:
        logger.warning("SLURM gave %s machines, and this command runs on one: start it with srun", given)


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) < 65_536


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
