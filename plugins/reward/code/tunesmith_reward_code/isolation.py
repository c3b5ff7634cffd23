"""What keeps a program from the machine: namespaces and limits of Linux, through the C library.

In namespaces of its own, a process sees no other process, no network, and of the files only Python's and the system's,
without a right to change them. When its first process ends, the kernel ends all.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_NEW = 0x00020000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000  # mount uts ipc user pid network
_BIND, _REC, _PRIVATE, _REMOUNT, _READ_ONLY = 4096, 16384, 1 << 18, 32, 1
_NOSUID, _NODEV, _NOEXEC = 2, 4, 8
_DETACH = 2
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}
_MOUNT_SETATTR, _HERE, _RECURSIVE = 442, -100, 0x8000
_DEATH_SIGNAL, _DUMPABLE, _DROP, _SUBREAPER, _NO_NEW_PRIVILEGES = 1, 4, 24, 36, 38
_NOBODY = 65534
_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/alternatives")
DEVICES = ("null", "zero", "full", "random", "urandom")
_FOLDER_SIZE = "size=64m,nr_inodes=4k"


class _Attributes(ctypes.Structure):
    """`struct mount_attr` of Linux."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "namespace")]


def called(function: str, *arguments: Any) -> int:
    """Raises: OSError when a function of the C library fails."""
    library = ctypes.CDLL(None, use_errno=True)
    result: int = getattr(library, function)(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")
    return result


def _mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    texts = [None if text is None else text.encode() for text in (source, target, kind, options)]
    called("mount", *texts[:3], ctypes.c_ulong(flags), texts[3])


def protect() -> None:
    """End with the parent, gain no rights, and let no process of the same user look inside. Does nothing elsewhere."""
    if sys.platform != "linux":
        return
    for option, value in ((_NO_NEW_PRIVILEGES, 1), (_DEATH_SIGNAL, signal.SIGKILL), (_DUMPABLE, 0)):
        called("prctl", option, ctypes.c_ulong(value), 0, 0, 0)


def give_up_rights() -> None:
    """Give up all capabilities, root's too, for good: root without them looks into no process that has some."""
    if sys.platform != "linux":
        return
    for right in range(64):
        with contextlib.suppress(OSError):  # a user who has none, and numbers that the kernel does not have
            called("prctl", _DROP, ctypes.c_ulong(right), 0, 0, 0)
    called("capset", struct.pack("Ii", 0x20080522, 0), bytes(24))


def limit(memory: int, seconds: int, processes: int | None) -> None:
    """Limit what this process, and each that it starts, may take: MiB of addresses, seconds of computing.

    Args:
        processes: of the namespace; None for no limit, since it would count all that the user runs.
    """
    try:
        import resource
    except ImportError:  # Windows
        return
    limits = {"RLIMIT_CPU": seconds, "RLIMIT_FSIZE": 16 << 20, "RLIMIT_CORE": 0, "RLIMIT_NOFILE": 64}
    if sys.platform == "linux":
        limits["RLIMIT_AS"] = memory << 20
    if processes is not None:
        limits["RLIMIT_NPROC"] = processes
    for name, value in limits.items():
        hard = resource.getrlimit(getattr(resource, name))[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(getattr(resource, name), (value, value))


def in_namespaces(folder: Path, work: Callable[[], None]) -> None:
    """Do something as the first process of new namespaces, and return when it has ended.

    Args:
        folder: an empty folder, on which the new file system is put; the old one does not see it.

    Raises: OSError when they are not allowed.
    """
    asked, answered = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        with leaving():
            protect()
            called("unshare", _NEW)
            os.write(asked[1], b"!")
            if os.read(answered[0], 1):
                _first_process(folder, work)
    os.close(asked[1])
    if os.read(asked[0], 1):
        _map_users(child)
        os.write(answered[1], b"!")
    os.close(answered[1])
    if os.waitpid(child, 0)[1]:
        raise OSError("namespaces are not allowed")


@contextlib.contextmanager
def leaving() -> Any:
    """End this process behind the block, whatever happens in it."""
    status = 1
    try:
        yield
        status = 0
    finally:
        os._exit(status)


def _first_process(folder: Path, work: Callable[[], None]) -> None:
    first = os.fork()
    if first == 0:
        with leaving():
            _build_root(folder)
            if os.getuid() == 0:
                os.setgroups([])
                os.setresgid(_NOBODY, _NOBODY, _NOBODY)
                os.setresuid(_NOBODY, _NOBODY, _NOBODY)
            work()
    if os.waitpid(first, 0)[1]:
        raise OSError("the first process failed")


def _map_users(child: int) -> None:
    """Who the users of the new namespace are outside: this one, and nobody if this one is root."""
    process = Path(f"/proc/{child}")
    user, group = os.geteuid(), os.getegid()
    others = f"\n{_NOBODY} {_NOBODY} 1" if user == 0 else ""
    if not others:
        (process / "setgroups").write_text("deny")
    (process / "uid_map").write_text(f"{user} {user} 1{others}")
    (process / "gid_map").write_text(f"{group} {group} 1{others}")


def visible() -> list[str]:
    """Folders and files of Python and the system, which a program may read."""
    package = str(Path(__file__).parent)
    installed = [path for path in sys.path if path.endswith("-packages")]
    python = [sys.base_prefix, os.path.dirname(sys.executable), *installed]
    paths = dict.fromkeys((*_SYSTEM, *python, *map(os.path.realpath, python), package))
    real = [path for path in paths if path != "/" and os.path.exists(path)]
    return [path for path in real if not any(Path(other) in Path(path).parents for other in real)]


def _build_root(folder: Path) -> None:
    """A file system of what is visible, unchangeable, and of an empty folder, which is the current one then."""
    _mount("none", "/", None, _REC | _PRIVATE)
    _mount("tmpfs", str(folder), "tmpfs", _NOSUID | _NODEV, "size=1m,mode=755")
    for path in (*visible(), *(f"/dev/{name}" for name in DEVICES)):
        _bind(path, f"{folder}{path}")
    for place in ("/tmp", "/dev/shm"):
        os.makedirs(f"{folder}{place}")
        _mount("tmpfs", f"{folder}{place}", "tmpfs", _NOSUID | _NODEV, f"{_FOLDER_SIZE},mode=1777")
    os.makedirs(f"{folder}/proc")
    with contextlib.suppress(OSError):  # not allowed where a container hides part of its own
        _mount("proc", f"{folder}/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    os.chdir(folder)
    called("syscall", _PIVOT_ROOT[platform.machine()], b".", b".")
    called("umount2", b".", _DETACH)
    _mount("none", "/", None, _REMOUNT | _BIND | _READ_ONLY | _NOSUID | _NODEV)
    os.chdir("/tmp")


def _bind(path: str, target: str) -> None:
    """Show a file or folder at another place, unchangeable with all that is mounted in it."""
    if os.path.islink(path) and not os.path.isabs(os.readlink(path)):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.symlink(os.readlink(path), target)
        return
    if os.path.isdir(path):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        Path(target).touch()
    _mount(path, target, None, _BIND | _REC)
    attributes = _Attributes(set=_READ_ONLY | _NOSUID)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    called("syscall", _MOUNT_SETATTR, _HERE, target.encode(), _RECURSIVE, ctypes.byref(attributes), size)


def adopt_orphans() -> None:
    """Become the parent of descendants that lose theirs."""
    called("prctl", _SUBREAPER, ctypes.c_ulong(1), 0, 0, 0)
