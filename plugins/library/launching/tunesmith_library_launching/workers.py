"""Starting the processes of one machine, passing signals on to them, and ending them together."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from tunesmith.errors import RESUMABLE
from tunesmith.messages import logger
from tunesmith_library_configuration.owners import end_with_parent

_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_MISTAKE = 2  # exit code of a process that has said what its user is to mend
_PAUSE = 0.05  # seconds between two looks at the processes
_PATIENCE = 2.0  # seconds in which the first process may say of the same mistake what another one said
_TAIL = 40  # lines that are shown of what a failed process said


@dataclass(frozen=True)
class Group:
    """The processes of this machine among those of all machines."""

    count: int  # on this machine
    world_size: int  # on all machines
    first_rank: int  # of this machine
    master: str | None  # host:port; None for a free port of this machine


@dataclass
class Worker:
    """One process, and where what it says goes."""

    rank: int
    process: subprocess.Popen[bytes]
    said: Path | None  # a file with its stderr; None for the first process, whose user hears it

    @property
    def code(self) -> int | None:
        """Its exit code, as a shell has it; None while it runs."""
        code = self.process.poll()
        return code if code is None or code >= 0 else 128 - code

    def end(self) -> None:
        """Kill it, if it still runs, with its own children, such as those that make batches."""
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def launch(command: Sequence[str], group: Group) -> int:
    """Start a command in every process, and wait for all.

    Returns: 0, 75 when the run was interrupted and can be resumed, or the exit code of the process that failed first.
    """
    host, _, port = (group.master or f"127.0.0.1:{_free_port()}").rpartition(":")
    with tempfile.TemporaryDirectory(prefix="tunesmith-processes-") as desk:
        workers: list[Worker] = []
        try:
            for local_rank in range(group.count):
                workers.append(_start(command, group, local_rank, (host, port), Path(desk)))
            with _passing_on(workers) as passed_on:
                return _wait(workers, passed_on)
        finally:
            for worker in workers:
                worker.end()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _start(command: Sequence[str], group: Group, local_rank: int, master: tuple[str, str], desk: Path) -> Worker:
    """Start one process in a session of its own, so that a Ctrl-C reaches it once, through this process."""
    rank = group.first_rank + local_rank
    environment = {
        "OMP_NUM_THREADS": str(max(1, _cores() // group.count)),
        **os.environ,
        "RANK": str(rank),
        "LOCAL_RANK": str(local_rank),
        "WORLD_SIZE": str(group.world_size),
        "LOCAL_WORLD_SIZE": str(group.count),
        "MASTER_ADDR": master[0],
        "MASTER_PORT": master[1],
    }
    # whoever kills this process without asking means the run, which nobody would end then
    bound = functools.partial(end_with_parent, os.getpid()) if os.name == "posix" else None
    options: dict[str, Any] = {"env": environment, "start_new_session": True, "preexec_fn": bound}
    if rank == 0:
        return Worker(rank, subprocess.Popen(command, **options), None)
    said = desk / f"rank-{rank}"
    with said.open("wb") as file:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=file, **options)
    return Worker(rank, process, said)


def _cores() -> int:
    available = getattr(os, "sched_getaffinity", None)
    return len(available(0)) if available else os.cpu_count() or 1


@contextlib.contextmanager
def _passing_on(workers: Sequence[Worker]) -> Iterator[list[int]]:
    """While entered, signals that this process gets go to the others; gives the list of those that came."""
    came: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        came.append(number)
        for worker in workers:
            if worker.code is None:
                worker.process.send_signal(number)

    if threading.current_thread() is not threading.main_thread():  # Python delivers no signals there
        yield came
        return
    former = {number: signal.signal(number, pass_on) for number in _PASSED_ON}
    try:
        yield came
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _wait(workers: Sequence[Worker], passed_on: list[int]) -> int:
    """Wait until all have ended, or one has failed."""
    while True:
        codes = [worker.code for worker in workers]
        failed = [worker for worker, code in zip(workers, codes, strict=True) if code not in (None, 0, RESUMABLE)]
        if failed:
            return _fail(failed[0], workers, passed_on)
        if None not in codes:
            return RESUMABLE if RESUMABLE in codes else 0
        time.sleep(_PAUSE)


def _fail(first: Worker, workers: Sequence[Worker], passed_on: list[int]) -> int:
    """End the others, and say why, unless it was said."""
    code = first.code or 0
    told = bool(passed_on) or (code == _MISTAKE and _says_it_too(workers[0]))
    for worker in workers:
        worker.end()
    if not told:
        tail = "" if first.said is None else "\n".join(_read(first.said).splitlines()[-_TAIL:])
        heading = f"rank {first.rank} failed with exit code {code}, so that the others were ended"
        logger.error(f"{heading}; the end of what it said:\n{tail}" if tail else heading)
    return code


def _says_it_too(first_rank: Worker) -> bool:
    """Whether the first process, whose user hears it, ends with the same mistake within a moment."""
    deadline = time.monotonic() + _PATIENCE
    while first_rank.said is None and first_rank.code is None and time.monotonic() < deadline:
        time.sleep(_PAUSE)
    return first_rank.said is None and first_rank.code == _MISTAKE


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace").rstrip()
