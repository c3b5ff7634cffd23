"""What the machine has in use: cores, memory, disk, GPUs; and of one run what its processes take."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tunesmith_library_studio.topics import Message

_LEAST = 0.5  # seconds over which it is measured how busy the cores are
_PAUSE = 1.9  # seconds between two samples; the topics are looked at once a second


class MachineWatcher:
    """The topic `machine`: a message of the type `sample` every other second.

    Its data: `time` (since 1970), `cpu_percent` (of all cores), `cores`, `memory` and `disk` (`used` and `total`, in
    bytes; the disk is that of the runs), `gpus` (as GET /api/devices has them).
    """

    def __init__(self, runs: Path, gpus: Callable[[], list[dict[str, Any]]]) -> None:
        import psutil

        self._psutil, self._runs, self._gpus = psutil, runs, gpus
        self._next = 0.0
        self._busy = psutil.cpu_percent(interval=0.1)  # of all cores; over less time it would be chance
        self._asked = time.monotonic()

    def first(self) -> list[Message]:
        return [Message("machine", "sample", self._sample())]

    def changes(self) -> list[Message]:
        if time.monotonic() < self._next:
            return []
        self._next = time.monotonic() + _PAUSE
        return self.first()

    def _sample(self) -> dict[str, Any]:
        if time.monotonic() - self._asked > _LEAST:
            self._busy, self._asked = self._psutil.cpu_percent(interval=None), time.monotonic()
        memory = self._psutil.virtual_memory()
        place = next(folder for folder in (self._runs, *self._runs.parents) if folder.exists())
        disk = self._psutil.disk_usage(str(place))
        return {
            "time": time.time(),
            "cpu_percent": self._busy,
            "cores": self._psutil.cpu_count(),
            "memory": {"used": memory.total - memory.available, "total": memory.total},
            "disk": {"used": disk.total - disk.free, "total": disk.total},
            "gpus": self._gpus(),
        }


def processes(number: int) -> dict[str, Any] | None:
    """What a process and all that it started take: `count`, `memory` (bytes in RAM, of which shared ones count for
    each), `cpu_seconds`; None when it has ended."""
    import psutil

    try:
        first = psutil.Process(number)
        every = [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return None
    memory = seconds = 0.0
    count = 0
    for each in every:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            times = each.cpu_times()
            memory, seconds, count = memory + each.memory_info().rss, seconds + times.user + times.system, count + 1
    return {"count": count, "memory": int(memory), "cpu_seconds": round(seconds, 2)}
