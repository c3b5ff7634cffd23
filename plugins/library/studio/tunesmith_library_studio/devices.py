"""What jobs can compute on: the GPUs of this machine and its processor, with what is in use; no torch."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
import time
from dataclasses import asdict, dataclass, field
from typing import Any

_FRESH = 1.0  # seconds for which a reading holds
_ASKED = ("index", "uuid", "name", "memory.total", "memory.used", "utilization.gpu", "temperature.gpu", "power.draw")


@dataclass(frozen=True)
class Device:
    """One GPU, or the processor with the machine's memory. What nobody tells is None."""

    id: str  # the number that a job names, or "cpu"
    kind: str  # cuda, gpu of another maker, cpu
    name: str
    memory: float | None = None  # bytes
    used: float | None = None  # bytes, by whichever programs
    utilisation: float | None = None  # share of the time, from 0 to 1
    temperature: float | None = None  # °C
    power: float | None = None  # W
    jobs: tuple[str, ...] = field(default=())  # ids of those that have it

    def told(self) -> dict[str, Any]:
        """It as JSON has it."""
        return asdict(self)


class Devices:
    """Reads the devices, at most once a second for all who ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read: list[Device] = []
        self._busy = Busy()
        self._when = -_FRESH

    def now(self) -> list[Device]:
        """The GPUs in the order of their numbers, then the processor."""
        with self._lock:
            if time.monotonic() - self._when >= _FRESH:
                self._read = [*_gpus(), _processor(self._busy.share())]
                self._when = time.monotonic()
            return list(self._read)

    def free_memory(self) -> dict[str, float]:
        """Bytes that no program uses, by the number of each GPU."""
        return {gpu.id: (gpu.memory or 0.0) - (gpu.used or 0.0) for gpu in self.now() if gpu.kind != "cpu"}


def _gpus() -> list[Device]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return _others()
    asked = [program, f"--query-gpu={','.join(_ASKED)}", "--format=csv,noheader,nounits"]
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        told = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True).stdout.splitlines()
        return _visible([[cell.strip() for cell in line.split(",")] for line in told if line.strip()])
    return _others()


def _visible(rows: list[list[str]]) -> list[Device]:
    """Those of the GPUs that the environment of this process leaves to it."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        wanted = [name.strip() for name in named.split(",")]
        rows = [row for row in rows if row[0] in wanted or row[1] in wanted]
    return [_nvidia(row) for row in rows]


def _nvidia(row: list[str]) -> Device:
    index, _, name, *figures = row
    memory, used, share, temperature, power = (_number(figure) for figure in figures)
    mebibyte = 2.0**20
    return Device(
        index,
        "cuda",
        name,
        None if memory is None else memory * mebibyte,
        None if used is None else used * mebibyte,
        None if share is None else share / 100,
        temperature,
        power,
    )


def _number(figure: str) -> float | None:
    """A figure, None for what a driver does not tell (`[N/A]`)."""
    with contextlib.suppress(ValueError):
        return float(figure)
    return None


def _others() -> list[Device]:
    """Those of other makers, of which only name and memory are told."""
    from tunesmith_library_estimates.at_hand import accelerators

    return [Device(str(index), "gpu", name, memory) for index, (name, memory) in enumerate(accelerators())]


class Busy:
    """How busy the processor was between two looks. `psutil.cpu_percent` has one former look for all who ask."""

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None  # seconds of all cores together, and those of them at work
        self._share: float | None = None

    def share(self) -> float | None:
        """From 0 to 1, since the former look; None at the first."""
        import psutil

        times = psutil.cpu_times()
        every = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)  # they are in others, too
        work = every - times.idle - getattr(times, "iowait", 0.0)
        before, self._last = self._last, (every, work)
        if before is not None and every > before[0]:
            self._share = min(max((work - before[1]) / (every - before[0]), 0.0), 1.0)
        return self._share


def _processor(share: float | None) -> Device:
    import psutil
    from tunesmith_library_estimates.at_hand import processor

    memory = psutil.virtual_memory()
    used = memory.total - memory.available
    return Device("cpu", "cpu", processor().model, float(memory.total), float(used), share)
