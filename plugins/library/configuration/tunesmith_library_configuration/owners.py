"""Who writes: one process among all that ever ran, on this machine or another, and whether it still runs."""

from __future__ import annotations

import os
import platform
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Owner:
    """A process. Numbers of processes come again; with the time of its start, and that of the machine's, one does not.

    Where the system does not tell the latter two (they are empty), only a number that no process has is a dead one.
    """

    host: str  # the machine's name
    place: str  # what tells machines, and containers on one, of the same name apart
    boot: str  # of the machine
    process: int  # its number
    started: str  # in ticks since the boot

    @property
    def is_here(self) -> bool:
        """Whether it would be seen from here, if it ran."""
        return (self.host, self.place) == (_host(), _place())

    @property
    def is_dead(self) -> bool:
        """Whether it certainly runs no more; of another machine's nothing is certain."""
        if not self.is_here:
            return False
        return self.boot != _boot() or _started(self.process) != self.started or not _exists(self.process)

    @property
    def mark(self) -> str:
        """It as part of a file's name; `left_behind` reads it."""
        place = zlib.crc32(f"{self.host}\n{self.place}\n{self.boot}".encode())
        return f"{place:08x}.{self.process}.{self.started or 0}"


def this_process() -> Owner:
    """The process that asks."""
    return owner_of(os.getpid())


def owner_of(process: int) -> Owner:
    """A process of this machine by its number, as long as it runs."""
    return Owner(_host(), _place(), _boot(), process, _started(process))


def left_behind(mark: str) -> bool:
    """Whether a mark is that of a process of this machine that has ended."""
    place, _, rest = mark.partition(".")
    number, _, started = rest.partition(".")
    here = this_process()
    if place != here.mark.partition(".")[0] or not number.isdigit():
        return False
    return not _exists(int(number)) or (_started(int(number)) or "0") != started


def _host() -> str:
    return platform.node() or "unknown"


def _place() -> str:
    """The machine's own number and the space in which its processes are numbered, empty where there is none."""
    machine = _read("/etc/machine-id")
    try:
        return f"{machine} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return machine


def _boot() -> str:
    return _read("/proc/sys/kernel/random/boot_id")


def _started(process: int) -> str:
    """When a process was started; empty when there is none, or the system does not tell."""
    fields = _read(f"/proc/{process}/stat").rpartition(")")[2].split()
    return "" if len(fields) < 20 or fields[0] in ("Z", "X") else fields[19]


def _exists(process: int) -> bool:
    if sys.platform == "win32":  # os.kill would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
