"""The processes of one machine: how each is started, what it leaves behind, and how it is ended."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tunesmith.errors import RESUMABLE
from tunesmith_library_configuration.bound import bound

from tunesmith_library_launching.failures import Failure
from tunesmith_library_launching.offspring import kill_marked
from tunesmith_library_launching.reports import DESK, PATIENCE, error_file

_TAIL = 40  # lines that are shown of what a failed process said


@dataclass(frozen=True)
class Group:
    """The processes that one launcher starts, among those of all launchers of a run."""

    count: int  # that this launcher starts
    world_size: int  # of all launchers
    first_rank: int  # of this launcher's
    master: str | None  # HOST:PORT where the launchers find together; None when there is one
    machine: int = (
        0  # which launcher this one is: one for a machine, or one for a process where SLURM or MPI start each
    )
    machines: int = 1  # how many there are
    local_rank: int = 0  # of the first process, among those of its machine
    local_count: int | None = None  # processes of the machine, those of other launchers included; None: `count`


@dataclass(frozen=True)
class Care:
    """How the processes of a run are seen to."""

    timeout: float = 1_800.0  # seconds that they, and machines, wait for one another
    restarts: int = 0  # how often a run that failed is started again
    folder: Path | None = None  # of the run, where it is known
    resume: bool = False  # whether the run goes on from what is in it
    spreads: bool = False  # whether all processes write to the folder


@dataclass
class Worker:
    """One process, and where what it says goes."""

    rank: int
    process: subprocess.Popen[bytes]
    said: Path | None  # a file with its stderr; None for the first process, whose user hears it
    desk: Path  # where it reports

    @property
    def code(self) -> int | None:
        """Its exit code, as a shell has it; None while it runs."""
        code = self.process.poll()
        return code if code is None or code >= 0 else 128 - code

    @property
    def failed(self) -> bool:
        """Whether it has failed, also while it is still ending."""
        return self.code not in (None, 0, RESUMABLE) or (
            self.code is None and error_file(self.desk, self.rank).exists()
        )

    def end(self) -> None:
        """Kill it, and what it started: children outlive a process that was killed, those that make batches too.

        What has left the group of one that ended well is at work for the user, such as a tracker that sends the rest.
        """
        well = self.code == 0
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if not well:
            kill_marked({DESK: str(self.desk), "RANK": str(self.rank)})

    def failure(self) -> Failure:
        """How it ended, by what it reported or else by what it said."""
        host, code = platform.node(), self.code or 1
        try:
            told = json.loads(error_file(self.desk, self.rank).read_text(encoding="utf-8"))
            return Failure(self.rank, host, code, told["time"], told["text"], follows=told["follows"])
        except (OSError, ValueError, KeyError):
            said = "" if self.said is None else self.said.read_text(encoding="utf-8", errors="replace").rstrip()
            tail = "\n".join(said.splitlines()[-_TAIL:])
            aborted = code == 128 + signal.SIGABRT  # by a backend's own thread, which others made lose its connections
            return Failure(self.rank, host, code, time.time(), tail, told=self.said is None, follows=aborted)


def start(
    command: Sequence[str], group: Group, local_rank: int, master: tuple[str, int], desk: Path, timeout: float
) -> Worker:
    """Start one process in a session of its own, so that a Ctrl-C reaches it once, through this process.

    Args:
        local_rank: among the processes that this launcher starts.
        master: host and port where the processes find together.
        desk: folder in which they report.
        timeout: seconds after which they hang that make no progress.
    """
    rank = group.first_rank + local_rank
    environment = {
        "OMP_NUM_THREADS": str(max(1, _cores() // group.count)),
        "PYTHONFAULTHANDLER": "1",  # a crash in compiled code then shows where it was
        **os.environ,
        "RANK": str(rank),
        "LOCAL_RANK": str(group.local_rank + local_rank),
        "WORLD_SIZE": str(group.world_size),
        "LOCAL_WORLD_SIZE": str(group.local_count or group.count),
        "MASTER_ADDR": master[0],
        "MASTER_PORT": str(master[1]),
        DESK: str(desk),
        PATIENCE: str(timeout),
    }
    command = bound(command)  # whoever kills this process without asking means the run, which nobody would end then
    options: dict[str, Any] = {"env": environment, "start_new_session": True}
    if rank == 0:
        return Worker(rank, subprocess.Popen(command, **options), None, desk)
    said = desk / f"rank-{rank}"
    with said.open("wb") as file:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file, **options)
    return Worker(rank, process, said, desk)


def _cores() -> int:
    available = getattr(os, "sched_getaffinity", None)
    return len(available(0)) if available else os.cpu_count() or 1
