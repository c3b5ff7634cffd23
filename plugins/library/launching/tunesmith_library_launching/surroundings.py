"""Where a command was started by something else in several places at once: SLURM, Kubernetes, MPI.

Each of them tells its processes in the environment how many there are, and which of them they are. What torchrun set
up (`LOCAL_RANK` beside `WORLD_SIZE`) needs nothing of this: torch.distributed reads it itself.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from tunesmith import TunesmithError
from tunesmith.types import Problem

from tunesmith_library_launching.hostlists import hosts

_FIRST_PORT, _PORTS = 12_000, 18_000  # below those that Linux gives to outgoing connections
_USUAL_PORT = "29500"  # of torchrun


@dataclass(frozen=True)
class Place:
    """This command among those that were started beside it."""

    by: str  # who started them: `SLURM`
    task: int  # which of them this one is, from 0
    tasks: int
    machine: int  # which machine this one is, from 0
    machines: int
    local_task: int = 0  # among those of this machine
    local_tasks: int = 1
    processes: int | None = None  # on each machine, where that was said
    master: str | None = None  # HOST:PORT on the machine of the first; None: it is not known

    @property
    def is_process(self) -> bool:
        """Whether each command is for one process that trains, rather than for all those of its machine."""
        return self.tasks > self.machines

    def described(self) -> str:
        """`task 3 of 8 on 2 machines`."""
        machines = f"{self.machines} machine{'s' if self.machines > 1 else ''}"
        return (
            f"task {self.task} of {self.tasks} on {machines}"
            if self.is_process
            else f"machine {self.task} of {machines}"
        )


def place(environment: Mapping[str, str] | None = None) -> Place | None:
    """The place that the environment tells of; None when the command was started once.

    Raises: TunesmithError when the environment contradicts itself.
    """
    environment = os.environ if environment is None else environment
    try:
        for look in (_slurm, _kubernetes, _open_mpi, _hydra):
            found = look(environment)
            if found is not None:
                return found if found.tasks > 1 else None
    except ValueError as error:
        raise TunesmithError(
            f"the environment of this process cannot be read as that of a launcher: {error}"
        ) from error
    return None


def launched_problems(count: int, wanted: int | None) -> list[Problem]:
    """What is wrong with the variables of the launcher that has started this process; it would wait for others in vain.

    Args:
        count: processes that it has started in all.
        wanted: processes on each machine that were asked for.
    """
    rank, here = os.environ.get("RANK", "0"), os.environ.get("LOCAL_WORLD_SIZE")
    found = []
    if not rank.isdecimal() or int(rank) >= count:
        message = f"RANK={rank} is none of WORLD_SIZE={count} processes, counted from 0."
        found.append(Problem("parallel", message, "unset these variables, or have torchrun set them"))
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if count > 1 and missing:
        message = f"WORLD_SIZE={count}, and {' and '.join(missing)} of the place where the processes meet is not set."
        found.append(Problem("parallel", message, "unset WORLD_SIZE, or have torchrun set them all"))
    if wanted is not None and here is not None and str(wanted) != here:
        message = f"{wanted} processes were asked for on each machine, and a launcher has started {here}."
        found.append(Problem("parallel.processes", message, "leave it out, or give the launcher the same number"))
    return found


def _slurm(environment: Mapping[str, str]) -> Place | None:
    """A task of `srun`; the batch script itself is none, though it has most of the variables."""
    if "SLURM_STEP_NUM_TASKS" not in environment or "SLURM_PROCID" not in environment:
        return None
    job, step = environment.get("SLURM_JOB_ID", "0"), environment.get("SLURM_STEP_ID", "0")
    names = hosts(environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST", ""))
    machines = int(environment.get("SLURM_STEP_NUM_NODES") or environment.get("SLURM_NNODES") or len(names) or 1)
    machine = int(environment.get("SLURM_NODEID", "0"))
    return Place(
        by="SLURM",
        task=int(environment["SLURM_PROCID"]),
        tasks=int(environment["SLURM_STEP_NUM_TASKS"]),
        machine=machine,
        machines=machines,
        local_task=int(environment.get("SLURM_LOCALID", "0")),
        local_tasks=_of_machine(environment.get("SLURM_STEP_TASKS_PER_NODE", ""), machine),
        master=f"{names[0]}:{_port(job, step)}" if names else None,
    )


def _of_machine(counts: str, machine: int) -> int:
    """How many tasks a machine has, from `4(x2),3`: two machines with four each, then one with three."""
    every: list[int] = []
    for item in filter(None, counts.split(",")):
        count, _, times = item.partition("(x")
        every += [int(count)] * int(times.rstrip(")") or 1)
    return every[machine] if machine < len(every) else 1


def _kubernetes(environment: Mapping[str, str]) -> Place | None:
    """A pod of Kubeflow's PyTorchJob or TrainJob, or of what else sets torchrun's options as PET_*."""
    nodes = environment.get("PET_NNODES")
    if nodes is None or "LOCAL_RANK" in environment:
        return None
    least, _, most = nodes.partition(":")
    if most not in ("", least):
        raise ValueError(f"PET_NNODES={nodes} is a range, and a run has as many machines at its end as at its start")
    own = environment.get("PET_NODE_RANK") or environment.get("JOB_COMPLETION_INDEX") or environment.get("RANK")
    if own is None:
        raise ValueError("PET_NNODES is set, and neither PET_NODE_RANK nor JOB_COMPLETION_INDEX")
    each = environment.get("PET_NPROC_PER_NODE", "")
    host = environment.get("PET_MASTER_ADDR") or environment.get("MASTER_ADDR")
    port = environment.get("PET_MASTER_PORT") or environment.get("MASTER_PORT") or _USUAL_PORT
    return Place(
        by="Kubernetes",
        task=int(own),
        tasks=int(least),
        machine=int(own),
        machines=int(least),
        processes=int(each) if each.isdigit() else None,
        master=f"{host}:{port}" if host else environment.get("PET_RDZV_ENDPOINT"),
    )


def _open_mpi(environment: Mapping[str, str]) -> Place | None:
    """A process of Open MPI's `mpirun`."""
    if "OMPI_COMM_WORLD_RANK" not in environment:
        return None
    name = environment.get("PMIX_NAMESPACE") or environment.get("OMPI_MCA_ess_base_jobid") or ""
    words = ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE")
    return _of_mpi("Open MPI", environment, words, name)


def _hydra(environment: Mapping[str, str]) -> Place | None:
    """A process of Intel MPI or MPICH, which have the same launcher."""
    if "PMI_RANK" not in environment:
        return None
    words = ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS")
    return _of_mpi("MPI", environment, words, str(os.getppid()))


def _of_mpi(by: str, environment: Mapping[str, str], words: tuple[str, str, str, str], name: str) -> Place:
    rank, size, local_rank, local_size = (int(environment.get(word, "0")) for word in words)
    here = local_size or size
    host, port = environment.get("MASTER_ADDR"), environment.get("MASTER_PORT")
    master = f"{host}:{port or _USUAL_PORT}" if host else None
    if master is None and here == size:  # all are on this machine
        master = f"127.0.0.1:{_port(by, name)}"
    return Place(by, rank, size, rank // here, -(-size // here), local_rank, here, master=master)


def _port(*names: str) -> int:
    """A port that all processes of a job come to, and those of another job hardly ever."""
    return _FIRST_PORT + zlib.crc32(" ".join(names).encode()) % _PORTS
