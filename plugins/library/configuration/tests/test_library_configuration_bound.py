"""A program that is bound is the program that was asked for, and ends with the one that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tunesmith_library_configuration.bound import bound

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the bond is Linux's")


def test_it_is_the_program_with_its_words_environment_and_exit_code() -> None:
    done = subprocess.run(
        bound(["sh", "-c", 'echo "$0 $1 $WORD"; exit 3', "a b", "c"]),
        env={**os.environ, "WORD": "d", "PYTHONPATH": "/nowhere"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "a b c d\n", "")


def test_it_ends_with_the_one_that_started_it(tmp_path: Path) -> None:
    """However that ends: here it is killed."""
    program = """
import subprocess, sys, time
from tunesmith_library_configuration.bound import bound
child = subprocess.Popen(bound(["sleep", "300"]), start_new_session=True)
print(child.pid, flush=True)
time.sleep(300)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        deadline = time.monotonic() + 30
        while _command(child)[:1] != ["sleep"] and time.monotonic() < deadline:
            time.sleep(0.01)
        assert _command(child) == ["sleep", "300"]
        parent.kill()
    while _command(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _command(child)


def test_it_hears_signals_where_that_is_asked() -> None:
    ignoring = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pthread_sigmask(0, [signal.SIGINT])"
    )
    program = f"""
import subprocess, sys
{ignoring}
from tunesmith_library_configuration.bound import bound
shows = ["grep", "-E", "SigBlk|SigIgn", "/proc/self/status"]
for hears in (False, True):
    print(subprocess.run(bound(shows, hears=hears), capture_output=True, text=True).stdout.split(), flush=True)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    kept, heard = (
        {name.rstrip(":"): int(bits, 16) for name, bits in zip(line[::2], line[1::2], strict=True)}
        for line in map(eval, done.stdout.splitlines())
    )
    interrupt, terminate, pipe = (1 << (number - 1) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE))
    assert kept["SigBlk"] & interrupt and kept["SigIgn"] & terminate and not kept["SigIgn"] & pipe
    assert not heard["SigBlk"] and not heard["SigIgn"] & (interrupt | terminate | pipe)


def test_nothing_of_other_threads_is_deleted_in_between(tmp_path: Path) -> None:
    """Python deletes their objects in a fork, and one of torch then waits for a thread that is not there."""
    own, ready, over, here = threading.local(), threading.Event(), threading.Event(), os.getpid()

    class Deleted:
        def __del__(self) -> None:
            if os.getpid() != here:
                (tmp_path / "deleted").touch()

    def work() -> None:
        own.held = Deleted()
        ready.set()
        over.wait()

    thread = threading.Thread(target=work)
    thread.start()
    ready.wait()
    try:
        subprocess.run(bound(["true"]), start_new_session=True, check=True)
        assert not list(tmp_path.iterdir())
        subprocess.run(["true"], preexec_fn=lambda: None, check=True)
        assert [file.name for file in tmp_path.iterdir()] == ["deleted"], "what is looked for here happens in a fork"
    finally:
        over.set()
        thread.join()


def _command(process: int) -> list[str]:
    """What a process runs; [] when there is none."""
    try:
        return Path(f"/proc/{process}/cmdline").read_text().split("\0")[:-1]
    except OSError:
        return []
