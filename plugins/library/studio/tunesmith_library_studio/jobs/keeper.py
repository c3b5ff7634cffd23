"""Keeps one job's process: starts it, waits for its end, and writes down how it ended, whoever else is gone by then.

    python -I -S keeper.py FOLDER WORD…

Run by its path, without site-packages, for it stays as long as the job: it imports what costs no memory. In FOLDER it
writes `log`, what the job says; `process`, the numbers of the job and of the keeper with the times of their start; and
`code`, the exit code, when that was, and `full` where the disk takes no more. What it is started by returns as soon as
the job has begun.
"""

import os
import signal
import sys
import time

_BLANK = b" " * 64  # written beforehand, so that an end can be told on a full disk
_ROOM = 1 << 16  # bytes; a disk that does not take them is full


def _started(process: int) -> str:
    """When a process was started, in ticks since the boot; 0 where the system does not tell."""
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return "0"


def _written(path: str, text: str) -> None:
    """Have a file with a text, at once as a whole."""
    descriptor = os.open(path + ".part", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    os.write(descriptor, text.encode())
    os.fsync(descriptor)
    os.close(descriptor)
    os.rename(path + ".part", path)


def _is_full(file: int) -> bool:
    """Whether the disk of a file takes no more."""
    try:
        return os.pwrite(file, bytes(_ROOM), len(_BLANK)) < _ROOM
    except OSError:
        return True
    finally:
        os.ftruncate(file, len(_BLANK))


def _become(words: list[str], log: int, begin: int) -> None:
    """Be the job, once it is written down who that is; it begins with the signals as a terminal's command has them."""
    if os.read(begin, 1) != b"1":
        os._exit(0)
    os.setpgid(0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        os.execv(words[0], words)
    except OSError as error:
        os.write(2, f"error: {words[0]} cannot be started: {error}\n".encode())
    os._exit(127)


def _keep(folder: str, words: list[str], told: int) -> None:
    """Start the job, tell by a pipe that it has begun, and wait."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    log = os.open(os.path.join(folder, "log"), os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    end = os.open(os.path.join(folder, "code.part"), os.O_CREAT | os.O_RDWR, 0o600)
    os.write(end, _BLANK)
    begin, go = os.pipe()
    job = os.fork()
    if job == 0:
        os.close(go)
        os.close(told)
        _become(words, log, begin)
    os.close(begin)
    own = os.getpid()
    _written(os.path.join(folder, "process"), f"{job} {_started(job)} {own} {_started(own)}\n")
    os.write(go, b"1")
    os.close(go)
    os.close(log)
    os.write(told, b"1")
    os.close(told)
    for stream in (0, 1, 2):
        os.dup2(os.open(os.devnull, os.O_RDWR), stream)
    code = os.waitstatus_to_exitcode(os.waitpid(job, 0)[1])
    text = f"{code} {time.time():.3f}{' full' if _is_full(end) else ''}"
    os.pwrite(end, text.ljust(len(_BLANK)).encode(), 0)
    os.fsync(end)
    os.rename(os.path.join(folder, "code.part"), os.path.join(folder, "code"))


def main() -> None:
    """Go on in a process that nobody waits for, once the job has begun."""
    folder, words = sys.argv[1], sys.argv[2:]
    heard, told = os.pipe()
    if os.fork() == 0:
        os.close(heard)
        _keep(folder, words, told)
        os._exit(0)
    os.close(told)
    os._exit(0 if os.read(heard, 1) == b"1" else 1)


if __name__ == "__main__":
    main()
