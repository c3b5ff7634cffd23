"""How much memory a process may count on: of a device's whole memory, never of what is free at the moment.

What is free changes from run to run, and a run that is resumed must decide as it did before.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_PROCESS, _GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


AMPLY = 4 / 3
"""Of what is needed, for batches that are larger for speed alone: they are not to be run out of memory for."""


@dataclass(frozen=True)
class Room:
    """The memory of a device, and how much of it an estimate may fill."""

    total: float  # bytes
    # the rest is for what no estimate counts: fragments and the driver's own; beside other programs it is more
    share: float

    def holds(self, peak: float) -> bool:
        """Whether what is needed at the highest moment of a run fits. Args: peak: bytes."""
        return peak <= self.share * self.total


def of_accelerator(total: float) -> Room:
    """An accelerator of that many bytes, which a process has for itself."""
    return Room(total, 0.85)


def of_host(processes: int = 1) -> Room | None:
    """The memory of this machine, or of the container or group of processes; None where the system does not tell it.

    Args:
        processes: of the run on this machine, which share it.
    """
    sizes: list[int] = []
    with contextlib.suppress(AttributeError, OSError, ValueError):
        sizes.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for file in limits(_PROCESS, _GROUPS):
        with contextlib.suppress(OSError, ValueError):  # "max" is no limit
            sizes.append(int(file.read_text(encoding="ascii")))
    return Room(min(sizes) / processes, 0.5) if sizes else None


def limits(process: Path, groups: Path) -> list[Path]:
    """The files that may limit this process's memory: of its cgroup and of those around it, of version 2 and of 1.

    Args:
        process: lists the process's groups, one a line: `0::/path` of version 2, `4:memory:/path` of version 1.
        groups: where they are mounted. In a container its own group is mounted as the root.
    """
    found = []
    lines = process.read_text(encoding="utf-8").splitlines() if process.is_file() else []
    for _, kinds, path in (parts for line in ("0::/", "0:memory:/", *lines) if len(parts := line.split(":", 2)) == 3):
        if kinds in ("", "memory"):
            inner = PurePosixPath(path.lstrip("/"))
            name = "memory.limit_in_bytes" if kinds else "memory.max"
            found += [groups / kinds / each / name for each in (inner, *inner.parents)]
    return list(dict.fromkeys(found))
