"""One process of a run, on a machine of the cluster: an actor that starts the command there and tells how it goes.

Its methods return at once and run in the actor's only thread, with which Linux ends the command, too: whoever kills the
actor, or the machine's Ray, kills the command.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tunesmith_library_configuration.bound import bound
from tunesmith_library_launching.failures import Failure
from tunesmith_library_launching.offspring import kill_marked
from tunesmith_library_launching.reports import DESK, error_file, pulse_file

_DEVICES = "VISIBLE_DEVICES"  # how the variables end by which vendors' libraries know their devices
_TAIL = 40  # lines that are shown of what a failed process said
_KEPT = 64 * 1024  # bytes of what a process said that nobody hears unless it fails


@dataclass(frozen=True)
class Where:
    """Where an actor is."""

    machine: str  # Ray's number of it
    name: str
    address: str  # in the cluster's network
    cores: int
    devices: tuple[str, ...]  # of its own, as the variables name them
    variables: tuple[str, ...]  # that name them: CUDA_VISIBLE_DEVICES


@dataclass(frozen=True)
class Heard:
    """What a process said since it was asked last, and how it ended."""

    code: int | None  # its exit code, as a shell has it; None while it runs
    out: bytes
    err: bytes
    still: float  # seconds since it moved; 0 where it does not report that
    reported: bool  # whether it has reported an error, of which it is still ending


class Process:
    """One process of a run. Its methods are called from where the run was started."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._streams: list[Stream] = []
        self._heard, self._rank = False, 0
        self._desk = Path(tempfile.mkdtemp(prefix="tunesmith-"))  # where the process reports how it goes

    def where(self) -> Where:
        """Where it is, and which devices Ray gave it."""
        import ray

        context = ray.get_runtime_context()
        ids = {",".join(found): tuple(found) for found in context.get_accelerator_ids().values() if found}
        named = {name: ids[value] for name, value in os.environ.items() if name.endswith(_DEVICES) and value in ids}
        devices = next(iter(named.values()), ())
        address = ray.util.get_node_ip_address()
        return Where(context.get_node_id(), socket.gethostname(), address, _cores(), devices, tuple(named))

    def free_port(self) -> int:
        """A port of this machine that nobody has."""
        with socket.socket() as probe:
            probe.bind(("", 0))
            port: int = probe.getsockname()[1]
            return port

    def write(self, file: str) -> str:
        """Write an empty file. Returns: why that cannot be; empty when it is done."""
        try:
            Path(file).parent.mkdir(parents=True, exist_ok=True)
            Path(file).touch()
        except OSError as error:
            return str(error)
        return ""

    def forget(self, file: str) -> None:
        """Delete a file that was written."""
        Path(file).unlink(missing_ok=True)

    def sees(self, file: str) -> bool:
        """Whether a file is there; its folder is read anew, of which network file systems remember what was there."""
        with contextlib.suppress(OSError):
            os.listdir(Path(file).parent)
        return Path(file).exists()

    def start(
        self,
        command: Sequence[str],
        files: Mapping[str, bytes],
        folder: str,
        environment: Mapping[str, str],
        heard: bool,
    ) -> str:
        """Start the command.

        Args:
            command: its first word is the Python that the run was started with; this machine's own is taken.
            files: what stands in those that the command names, for a machine that does not have them.
            folder: in which it runs.
            environment: beside this machine's own.
            heard: whether all that it says is kept until it is asked for, or only the end of what it says of errors.

        Returns: why it cannot be started; empty when it was.
        """
        if not Path(folder).is_dir():
            if folder != os.getcwd() and "working_dir" not in _runtime_env():
                return f"there is no folder {folder}"
            folder = os.getcwd()
        self._heard, self._rank = heard, int(environment["RANK"])
        own = {"PYTHONFAULTHANDLER": "1", DESK: str(self._desk)}  # a crash in compiled code then shows where it was
        self._child = subprocess.Popen(
            bound([sys.executable, *(self._at_hand(word, files) for word in command[1:])], hears=True),
            env={**os.environ, **own, **environment},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if heard else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        pipes = (self._child.stdout, self._child.stderr)
        self._streams = [Stream(pipe, None if heard else _KEPT) for pipe in pipes if pipe is not None]
        return ""

    def poll(self) -> Heard:
        """What it said, and how it ended, with the last of its words. Of one that is not heard what it said stays."""
        code = self._code()
        if code is not None:
            for stream in self._streams:
                stream.end()
        out, err = (stream.taken() for stream in self._streams) if self._heard else (b"", b"")
        still = 0.0
        with contextlib.suppress(OSError):
            still = time.time() - pulse_file(self._desk, self._rank).stat().st_mtime
        return Heard(code, out, err, still, error_file(self._desk, self._rank).exists())

    def place(self) -> str:
        """The innermost functions that it is in; empty where it does not report that."""
        with contextlib.suppress(OSError):
            return pulse_file(self._desk, self._rank).read_text(encoding="utf-8")
        return ""

    def failure(self, rank: int, name: str) -> Failure | None:
        """How it failed, by what it reported or else by what it said; None when it has not."""
        code = self._code()
        try:
            told = json.loads(error_file(self._desk, rank).read_text(encoding="utf-8"))
            return Failure(rank, name, code or 1, told["time"], told["text"], follows=told["follows"])
        except (OSError, ValueError, KeyError):
            if code is None:
                return None
        said = "" if self._heard else self._streams[-1].taken().decode(errors="replace").rstrip()
        tail = "\n".join(said.splitlines()[-_TAIL:])
        aborted = code == 128 + signal.SIGABRT  # by a backend's own thread, which others made lose its connections
        return Failure(rank, name, code, time.time(), tail, told=self._heard, follows=aborted)

    def _code(self) -> int | None:
        code = None if self._child is None else self._child.poll()
        return code if code is None or code >= 0 else 128 - code

    def signal(self, number: int) -> None:
        """Send it a signal."""
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(number)

    def end(self) -> None:
        """Kill it with its own children, such as those that make batches."""
        if self._child is not None and self._child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()
        if self._child is not None and self._child.returncode:
            kill_marked({DESK: str(self._desk)})
        shutil.rmtree(self._desk, ignore_errors=True)

    def _at_hand(self, word: str, files: Mapping[str, bytes]) -> str:
        """A word of the command; of a file that is not here, a copy."""
        if word not in files or Path(word).exists():
            return word
        copy = self._desk / Path(word).name
        copy.write_bytes(files[word])
        return str(copy)


class Stream:
    """What a process says, read as it comes.

    Args:
        most: bytes of its end that are kept; None keeps all until it is taken.
    """

    def __init__(self, pipe: IO[bytes], most: int | None) -> None:
        self._pipe, self._most, self._said, self._lock = pipe, most, bytearray(), threading.Lock()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while said := os.read(self._pipe.fileno(), 1 << 16):
            with self._lock:
                self._said += said
                if self._most is not None:
                    del self._said[: -self._most]

    def taken(self) -> bytes:
        """What came since it was taken last."""
        with self._lock:
            said, self._said = bytes(self._said), bytearray()
        return said

    def end(self) -> None:
        """Wait a moment for the last words of a process that has ended; its children may hold the pipe for longer."""
        self._thread.join(timeout=1)


def _runtime_env() -> Mapping[str, object]:
    import ray

    return dict(ray.get_runtime_context().runtime_env)


def _cores() -> int:
    available = getattr(os, "sched_getaffinity", None)
    return len(available(0)) if available else os.cpu_count() or 1
