"""Programs of answers, each tried by one test in processes of its own; which isolation this machine allows."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import Literal

from .isolation import visible
from .launching import PASSED, command

Isolation = Literal["namespaces", "bubblewrap", "landlock", "process"]

_BLOCK = re.compile(r"```[ \t]*([\w+-]*)[^\n]*\n(.*?)```", re.DOTALL)
_PYTHON = ("", "py", "python", "python3")


@dataclass(frozen=True)
class Limits:
    """What a program may take."""

    seconds: float  # of wall clock, the interpreters' start included
    memory: int  # MiB, of each process


_TRIAL = Limits(10.0, 512)


def program_of(answer: str) -> str | None:
    """The last Python code block of an answer; the whole answer when it has no block; None for no program."""
    blocks = [text for language, text in _BLOCK.findall(answer) if language.lower() in _PYTHON]
    program = blocks[-1] if blocks else answer
    return program if program.strip() else None


@functools.cache
def best_isolation() -> Isolation:
    """The first that works on this machine, found by trying."""
    possible: list[Isolation] = ["namespaces"] if sys.platform == "linux" else []
    possible += ["bubblewrap"] if shutil.which("bwrap") else []
    possible += ["landlock"] if sys.platform == "linux" else []
    return next((one for one in possible if passes("x = 1", "assert x == 1", _TRIAL, one)), "process")


def passes(program: str, test: str, limits: Limits, isolation: Isolation) -> bool:
    """Whether the test runs to its end with the program, in time; all processes that were started are ended."""
    with tempfile.TemporaryDirectory(prefix="tunesmith-code-", ignore_cleanup_errors=True) as folder:
        place = "/tmp" if isolation in ("namespaces", "bubblewrap") else folder
        arguments = (isolation, str(limits.memory), str(int(limits.seconds) + 1), folder)
        process = subprocess.Popen(
            [*(_bubblewrap() if isolation == "bubblewrap" else ()), *command("launching", *arguments)],
            cwd=folder,
            env={"PATH": os.defpath, "HOME": place, "TMPDIR": place, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            said, _ = process.communicate(json.dumps({"program": program, "test": test}).encode(), limits.seconds)
            return said == PASSED
        except subprocess.TimeoutExpired:
            return False
        finally:
            _end(process)


def _bubblewrap() -> list[str]:
    """The words of bubblewrap before a command: everything of its own, Python and the system to be read."""
    words = [shutil.which("bwrap") or "bwrap", "--unshare-all", "--die-with-parent", "--new-session"]
    words += ["--cap-drop", "ALL", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--chdir", "/tmp"]
    for path in visible():
        words += ["--ro-bind", path, path]
    return words


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started.

    In namespaces the kernel ends all with the first. Otherwise the launcher is asked first, which finds those that
    have left its session; then the session is ended.
    """
    if process.poll() is None and hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError, subprocess.TimeoutExpired):
            process.terminate()
            process.wait(1.0)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
