"""One program and one test in a process of their own, with limits."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass

_BLOCK = re.compile(r"```[ \t]*([\w+-]*)[^\n]*\n(.*?)```", re.DOTALL)
_PYTHON = ("", "py", "python", "python3")

# Reads program, test and a password from its input; says the password when the test has passed. A program that ends
# the process, with whatever status, has not said it.
_HARNESS = """
import os, sys
memory, seconds = int(sys.argv[1]), int(sys.argv[2])
try:
    import resource
except ImportError:
    resource = None
if resource is not None:
    limits = {"RLIMIT_CPU": seconds, "RLIMIT_FSIZE": 16 << 20, "RLIMIT_CORE": 0, "RLIMIT_NOFILE": 64}
    if sys.platform == "linux":
        limits["RLIMIT_AS"] = memory << 20
    for name, value in limits.items():
        hard = resource.getrlimit(getattr(resource, name))[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(getattr(resource, name), (value, value))
password, size, text = sys.stdin.buffer.read().split(b"\\n", 2)
program, test = text[:int(size)].decode(), text[int(size):].decode()
answer = os.dup(1)
os.dup2(os.open(os.devnull, os.O_RDWR), 1)
def run(program, test):
    names = {"__name__": "__main__"}
    exec(compile(program, "answer.py", "exec"), names)
    exec(compile(test, "test.py", "exec"), names)
run(program, test)
os.write(answer, password)
os._exit(0)
"""


@dataclass(frozen=True)
class Limits:
    """What a program may take."""

    seconds: float  # of wall clock, the interpreter's start included
    memory: int  # MiB


def program_of(answer: str) -> str | None:
    """The last Python code block of an answer; the whole answer when it has no block; None for no program."""
    blocks = [text for language, text in _BLOCK.findall(answer) if language.lower() in _PYTHON]
    program = blocks[-1] if blocks else answer
    return program if program.strip() else None


def passes(program: str, test: str, limits: Limits) -> bool:
    """Whether the test runs to its end after the program, in time; all processes it started are ended."""
    password = secrets.token_hex(16).encode()
    source = program.encode(errors="replace")
    message = b"\n".join((password, str(len(source)).encode(), source + test.encode(errors="replace")))
    # -I: neither the user's packages nor the current folder nor PYTHON* variables
    command = [sys.executable, "-I", "-c", _HARNESS, str(limits.memory), str(int(limits.seconds) + 1)]
    with tempfile.TemporaryDirectory(prefix="tunesmith-code-", ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={"PATH": os.defpath, "HOME": folder, "TMPDIR": folder, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            said, _ = process.communicate(message, timeout=limits.seconds)
            return said == password
        except subprocess.TimeoutExpired:
            return False
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started, as far as that stayed in its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
