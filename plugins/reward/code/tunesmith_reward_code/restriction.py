"""What a process may deny itself on Linux where it may not have namespaces: Landlock and seccomp.

Landlock lets it open the files below given folders only, and look into no process outside; seccomp lets it make no
sockets but local ones, and change no rights of files. Both hold for all that it starts, which still sees the names of
other processes, and where there are files.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Iterable

from .isolation import called

_CREATE, _ADD, _RESTRICT, _VERSION, _BENEATH = 444, 445, 446, 1, 1
_READ = 0b1101  # execute, read files, read folders
_FILE = 0b111 | 1 << 14 | 1 << 15  # what can be said of a file that is no folder
_ALL = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}  # by version
_TCP, _SIGNALS_AND_SOCKETS = 0b11, 0b11
_SECCOMP, _FILTER = 22, 2
# by architecture: its audit name, the number of `socket`, and those of the calls that change rights, owners and
# attributes of files, of which Landlock knows nothing
_NEWER = (5, 6, 7, 14, 15, 16, 52, 53, 54, 55)
_CALLS = {
    "x86_64": (0xC000003E, 41, (90, 91, 92, 93, 94, 188, 189, 190, 197, 198, 199, 260, 268)),
    "aarch64": (0xC00000B7, 198, _NEWER),
    "riscv64": (0xC00000F3, 198, _NEWER),
}
_EVERYWHERE = (425, 452, 463, 466)  # io_uring, which does what it is told past the filter, and later calls of that kind
_FOREIGN_CALLS, _LOCAL = 0x40000000, 1
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050001
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06


class _Program(ctypes.Structure):
    """`struct sock_fprog` of Linux."""

    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def restrict(readable: Iterable[str], writable: Iterable[str]) -> None:
    """Let this process, and what it starts, read and run some files, write others, and no more; and make no connection.

    Raises: OSError where the kernel cannot.
    """
    version = called("syscall", _CREATE, None, ctypes.c_size_t(0), _VERSION)
    every = _ALL[min(version, max(_ALL))]
    described = struct.pack("QQQ", every, _TCP, _SIGNALS_AND_SOCKETS)[: 8 if version < 4 else 16 if version < 6 else 24]
    rules = called("syscall", _CREATE, described, ctypes.c_size_t(len(described)), 0)
    for rights, paths in ((_READ, readable), (every, writable)):
        for path in paths:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            allowed = (rights if os.path.isdir(path) else rights & _FILE) & every
            called("syscall", _ADD, rules, _BENEATH, struct.pack("=Qi", allowed, place), 0)
            os.close(place)
    called("syscall", _RESTRICT, rules, 0)
    os.close(rules)
    _refuse_calls()


def _refuse_calls() -> None:
    architecture, socket, changing = _CALLS[platform.machine()]
    numbers = (*changing, *_EVERYWHERE)
    refuse = len(numbers) + 7  # the place of this step; the one behind it allows
    steps = [
        (_LOAD, 0, 0, 4),  # the architecture
        (_EQUAL, 0, refuse - 2, architecture),  # another one's calls are refused
        (_LOAD, 0, 0, 0),  # the call
        (_AT_LEAST, refuse - 4, 0, _FOREIGN_CALLS),
        *((_EQUAL, refuse - place - 1, 0, number) for place, number in enumerate(numbers, 4)),
        (_EQUAL, 0, 3, socket),
        (_LOAD, 0, 0, 16),  # its first argument
        (_EQUAL, 1, 0, _LOCAL),
        (_RETURN, 0, 0, _REFUSE),
        (_RETURN, 0, 0, _ALLOW),
    ]
    packed = b"".join(struct.pack("HBBI", *step) for step in steps)
    called("prctl", _SECCOMP, ctypes.c_ulong(_FILTER), ctypes.byref(_Program(len(steps), packed)), 0, 0)
