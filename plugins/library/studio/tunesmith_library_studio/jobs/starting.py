"""Starting a job's process with its keeper, and asking it to end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tunesmith import TunesmithError
from tunesmith_library_configuration.owners import Owner, owner_of

from tunesmith_library_studio.jobs.job import Job

_KEEPER = Path(__file__).with_name("keeper.py")
_PRIVATE = ("TUNESMITH_WEBUI_PASSWORD",)  # no job needs to know it


def words_of(command: Sequence[str]) -> list[str]:
    """A command of the program as an argument list; `-P` keeps files of the current folder from being imported."""
    return [sys.executable, "-P", "-m", "tunesmith", *command]


def environment(more: Mapping[str, str] = {}, devices: Sequence[str] = ()) -> dict[str, str]:
    """The environment of a job that may compute on some devices; on all where none are said."""
    found = {name: value for name, value in os.environ.items() if name not in _PRIVATE}
    found["PYTHONUNBUFFERED"] = "1"  # so that the log says at once what happens
    found["TUNESMITH_LANG"] = "en"  # what is read of it again: errors, and the log by whoever reads it in any language
    gpus = [device for device in devices if device != "cpu"]
    if gpus:
        found |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(gpus)}
    elif "cpu" in devices:
        found |= {"CUDA_VISIBLE_DEVICES": ""}
    return {**found, **more}


def start(job: Job, folder: Path) -> None:
    """Start a job's process; it goes on whatever becomes of this one.

    Raises: TunesmithError where it cannot be started.
    """
    words = [sys.executable, "-I", "-S", str(_KEEPER), str(folder), *words_of(job.command)]
    try:
        keeper = subprocess.run(
            words,
            cwd=job.root,
            env=environment(job.env, job.devices),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TunesmithError(f"{job.title} cannot be started: {error}") from error
    if keeper.returncode:
        why = (keeper.stderr.strip().splitlines() or ["its keeper ended"])[-1]
        raise TunesmithError(f"{job.title} cannot be started: {why}")


def interrupt(process: Owner, title: str) -> None:
    """Have a process save and end, as Ctrl-C does: its launcher passes it on, where there are several.

    Raises: TunesmithError where it runs on another machine, or belongs to somebody else.
    """
    _send(process, signal.SIGINT, title)


def interrupt_run(process: Owner, title: str) -> None:
    """`interrupt` for the process that holds a run: of several it is one, and their launcher is told.

    Raises: as `interrupt`.
    """
    launcher = _launcher_of(process)
    _send(process if launcher is None else owner_of(launcher), signal.SIGINT, title)


def kill(process: Owner, title: str) -> None:
    """End a process and those of its group at once; a run keeps its last checkpoint.

    Raises: as `interrupt`.
    """
    _send(process, signal.SIGKILL, title)


def _send(process: Owner, number: signal.Signals, title: str) -> None:
    if not process.is_here:
        raise TunesmithError(
            f"{title} runs on {process.host}, and can be stopped there alone.\n  there: kill -INT {process.process}"
        )
    if process.is_dead:
        return
    try:
        if number == signal.SIGKILL and os.getpgid(process.process) == process.process:
            os.killpg(process.process, number)
        else:
            os.kill(process.process, number)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise TunesmithError(f"{title} was started by another user (process {process.process}).") from error


def _launcher_of(process: Owner) -> int | None:
    """The number of the process that launched one, where that is a command of this program too."""
    if not process.is_here:
        return None
    with contextlib.suppress(OSError, IndexError, ValueError):
        stat = Path(f"/proc/{process.process}/stat").read_text(encoding="utf-8", errors="replace")
        parent = int(stat.rpartition(")")[2].split()[1])
        words = Path(f"/proc/{parent}/cmdline").read_bytes().split(b"\0")
        if b"train" in words and any(b"tunesmith" in word for word in words):
            return parent
    return None
