"""How much memory this process takes: what the system and torch tell, without a thread and at no cost while it runs."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PROCESS = Path("/proc/self")
_CONTEXT = 2 * 2**30  # bytes; beside what torch reserves a process takes less, so that more is another program's


@dataclass(frozen=True)
class Taken:
    """The most that was taken since a meter began, in bytes. What nobody tells is None."""

    device: str  # as torch names its kind
    peak: float | None = None  # of the device's memory: of a CPU beyond what the process held before
    allocated: float | None = None  # by tensors, on an accelerator
    reserved: float | None = None  # by torch's allocator, on an accelerator
    host: float | None = None  # of the machine's memory, beyond what the process held before


class Meter:
    """Measures from when it is made, which is before a model is loaded."""

    def __init__(self) -> None:
        self._anew = False  # whether the high-water mark began anew
        with contextlib.suppress(OSError):
            (_PROCESS / "clear_refs").write_text("5", encoding="ascii")
            self._anew = True
        self._before, self._marked = _resident("VmRSS"), _resident("VmHWM")
        self._seen = 0.0
        memory = accelerator()
        if memory is not None and hasattr(memory, "reset_peak_memory_stats"):
            memory.reset_peak_memory_stats()

    def look(self) -> None:
        """Take note of what is taken now, where nobody remembers the most: on Apple's GPUs."""
        memory = accelerator()
        if memory is not None and hasattr(memory, "driver_allocated_memory"):
            self._seen = max(self._seen, float(memory.driver_allocated_memory()))

    def taken(self) -> Taken:
        """What was taken so far."""
        host, memory = self._host(), accelerator()
        if memory is None:
            return Taken("cpu", host, host=host)
        kind = str(memory.__name__).rpartition(".")[2]
        if not hasattr(memory, "max_memory_allocated"):
            self.look()
            return Taken(kind, self._seen or None, host=host)
        allocated, reserved = float(memory.max_memory_allocated()), float(memory.max_memory_reserved())
        if not allocated:
            return Taken("cpu", host, host=host)
        return Taken(kind, reserved + _context(memory), allocated, reserved, host)

    def _host(self) -> float | None:
        most = _resident("VmHWM")
        if self._before is None or most is None or self._marked is None:
            return None
        if not self._anew and most == self._marked:  # which is an older one
            return None
        return max(most - self._before, 0.0)


def accelerator() -> Any:
    """The part of torch that tells of the accelerator's memory; None where torch runs on none, or has not begun to."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.accelerator.is_available():
        return None
    kind = torch.accelerator.current_accelerator()
    found = getattr(torch, kind.type, None) if kind is not None else None
    return None if found is None or not getattr(found, "is_initialized", lambda: True)() else found


def _context(memory: Any) -> float:
    """Bytes of the device that are taken, and not by torch's allocator; 0 where other programs are on it."""
    if not hasattr(memory, "mem_get_info"):
        return 0.0
    free, total = memory.mem_get_info()
    beside = float(total - free) - float(memory.memory_reserved())
    return beside if 0 < beside < _CONTEXT else 0.0


def _resident(name: str) -> float | None:
    """Bytes of this process, by a name of `/proc/self/status`."""
    with contextlib.suppress(OSError):
        found = re.search(rf"^{name}:\s*(\d+) kB", (_PROCESS / "status").read_text(encoding="ascii"), re.MULTILINE)
        return 1024.0 * int(found[1]) if found else None
    return None


def threads() -> int:
    """How many threads torch computes with."""
    torch = sys.modules.get("torch")
    return int(torch.get_num_threads()) if torch is not None else os.cpu_count() or 1
