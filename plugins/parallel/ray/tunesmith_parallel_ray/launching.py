"""From a command to its processes on a cluster: started, heard, interrupted, ended together, and started again."""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tunesmith import TunesmithError, announce
from tunesmith.messages import logger
from tunesmith_library_configuration.launchers import STANDS_FOR
from tunesmith_library_configuration.secrets import names_secret
from tunesmith_library_launching.failures import MISTAKE
from tunesmith_library_launching.launching import AGAIN, has_begun
from tunesmith_library_launching.reports import PATIENCE

from .cluster import connected, gpus
from .placing import Placed, placed
from .watching import passed_on, tell, watch

if TYPE_CHECKING:
    from . import Ray

_MOST = 1 << 20  # bytes of a file that the command names and a machine may lack
_FINAL = (MISTAKE, 76)  # exit codes of what no start mends: a mistake, numbers that are not finite
_LOOKS = 130  # of a machine for a file that another one wrote, every half second: NFS remembers folders for a minute
_VARIABLES = re.compile(r"(NCCL|GLOO|TORCH\w*|PYTORCH|CUDA|OMP|MKL|HF|TRANSFORMERS|TOKENIZERS|TUNESMITH)_\w+")
_OWN = re.compile(r"\w*VISIBLE_DEVICES|(LOCAL_)?RANK|(LOCAL_)?WORLD_SIZE|MASTER_(ADDR|PORT)")


def launch(command: Sequence[str], options: Ray, folder: Path | None, uses_cpu: bool) -> int:
    """Run a command in every process, on the cluster, and wait for all; again after a failure, if that was asked for.

    Args:
        folder: of the run; None where it has none.
        uses_cpu: leave the GPUs of the cluster alone.

    Returns: 0, 75 when the run was interrupted and can be resumed, or the exit code of the process that failed first.
    Raises: TunesmithError when the cluster is not there, has no room, or its machines do not share the folder.
    """
    with connected(options, options.processes or 1) as own, passed_on() as signals:
        bundle = bundle_of(options, uses_cpu)
        counts = counts_of(options)
        environment = {} if own else environment_of(options.environment)
        environment[PATIENCE] = str(options.timeout)
        began = time.time()
        for attempt in range(options.restarts + 1):
            with placed(options, counts, bundle, lambda: not signals.came) as processes:
                if not processes:
                    return 128 + signals.came[0]
                shared_folder(processes, folder)
                start(processes, command, {**environment, **stands_for(len(processes), counts[0])})
                ended = watch(processes, signals, options.timeout)
            tell(ended)
            if ended.failure is None or ended.code in _FINAL or signals.came or attempt == options.restarts:
                break
            again = AGAIN if has_begun(folder, began) else ()
            where = "from its last checkpoint" if again else "from its beginning"
            logger.warning(f"restart {attempt + 1} of {options.restarts}, {where}, for {ended.failure.short}")
            command = [*command, *again]
        return ended.code


def bundle_of(options: Ray, uses_cpu: bool) -> dict[str, float]:
    """What each process reserves."""
    import ray

    if options.resources:
        return dict(options.resources)
    has_gpus = not uses_cpu and ray.cluster_resources().get("GPU", 0) > 0
    return {"CPU": 1.0, "GPU": 1.0} if has_gpus else {"CPU": 1.0}


def counts_of(options: Ray) -> list[int]:
    """How many processes there may be, the most first: divisors, so that each stands for as many as every other."""
    most = options.processes or gpus()
    fewest = options.min_processes or most
    return [number for number in range(most, fewest - 1, -1) if most % number == 0]


def stands_for(count: int, planned: int) -> dict[str, str]:
    """The variable by which the global batch of fewer processes is that of the planned ones."""
    return {STANDS_FOR: str(planned // count)} if count < planned else {}


def environment_of(named: Sequence[str]) -> dict[str, str]:
    """Variables of this process that the others get on a cluster, announced; secrets only where they are named.

    Raises: TunesmithError for one that is named and not set.
    """
    missing = [name for name in named if name not in os.environ]
    if missing:
        raise TunesmithError(f"parallel.environment: {', '.join(missing)} is not set\n  export it, or leave it out")
    usual = [name for name in os.environ if _VARIABLES.fullmatch(name) and not names_secret(name)]
    names = sorted({*named, *(name for name in usual if not _OWN.fullmatch(name))})
    if names:
        announce("environment", ", ".join(names), "passed on to the processes; parallel.environment=[NAME] adds others")
    return {name: os.environ[name] for name in names}


def shared_folder(processes: Sequence[Placed], folder: Path | None) -> None:
    """Look on every machine for a file that the first one writes into the run's folder.

    Raises: TunesmithError when one does not see it.
    """
    others = [process for process in processes if process.where.machine != processes[0].where.machine]
    others = [process for process in others if process.local_rank == 0]
    if folder is None or not others:
        return
    file = str(folder / f".tunesmith-{secrets.token_hex(8)}")
    fault = processes[0].ask("write", file)
    try:
        for process in others:
            if fault or not any(_sees(process, file) for _ in range(_LOOKS)):
                what = fault or f"what {processes[0].where.name} writes there is not seen on {process.where.name}"
                raise TunesmithError(
                    f"output_dir={folder} is no folder that all machines of the cluster share: {what}\n"
                    "  name one on a network file system, mounted on all at the same place; or keep to one machine:"
                    " parallel.placement=STRICT_PACK"
                )
    finally:
        processes[0].ask("forget", file)


def _sees(process: Placed, file: str) -> bool:
    if process.ask("sees", file):
        return True
    time.sleep(0.5)
    return False


def start(processes: Sequence[Placed], command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Start the command in all processes.

    Raises: TunesmithError where it cannot be.
    """
    import ray

    first = processes[0]
    alone = all(process.local_count == len(processes) for process in processes)
    master = {
        "MASTER_ADDR": "127.0.0.1" if alone else first.where.address,
        "MASTER_PORT": str(first.ask("free_port")),
        "WORLD_SIZE": str(len(processes)),
    }
    named = [Path(word) for word in command[1:] if os.path.isfile(word)]  # some words are no paths at all
    files = {str(file): file.read_bytes() for file in named if file.stat().st_size <= _MOST}
    answers = []
    for process in processes:
        own = {**_threads(process), **environment, **master, **_ranks(process)}
        answers.append(process.actor.start.remote(command, files, os.getcwd(), own, process is first))
    for process, fault in zip(processes, ray.get(answers), strict=True):
        if fault:
            raise TunesmithError(
                f"the run cannot be started on {process.where.name}: {fault}\n"
                "  start it in a folder that all machines share; or parallel.runtime_env={working_dir: .}"
            )


def _ranks(process: Placed) -> dict[str, str]:
    devices = {name: ",".join(process.devices) for name in process.where.variables}
    return {
        "RANK": str(process.rank),
        "LOCAL_RANK": str(process.local_rank),
        "LOCAL_WORLD_SIZE": str(process.local_count),
        **devices,
    }


def _threads(process: Placed) -> dict[str, str]:
    """Ray gives an actor as many threads as it reserves CPUs, which says nothing of how many it can use."""
    given = os.environ.get("OMP_NUM_THREADS")
    return {"OMP_NUM_THREADS": given or str(max(1, process.where.cores // process.local_count))}
