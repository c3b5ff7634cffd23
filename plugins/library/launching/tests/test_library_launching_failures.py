"""The first real cause is told, whoever ends first; and who is missing, where all wait."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tunesmith_library_launching import hanging, signals
from tunesmith_library_launching.failures import Failure, cause, is_follow_up
from tunesmith_library_launching.launching import has_begun, launch
from tunesmith_library_launching.machines import Machines
from tunesmith_library_launching.overseeing import Attempt
from tunesmith_library_launching.signals import Signals
from tunesmith_library_launching.workers import Care, Group, Worker


def run(program: str, *arguments: object, count: int = 2, **care: Any) -> int:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return launch(command, Group(count, count, 0, None), Care(**care))


_LOST = "RuntimeError: [gloo/transport/tcp/pair.cc:538] Connection closed by peer [127.0.0.1]:29500"
_RAISES = f"""
import os, sys, time
from tunesmith_library_launching.reports import begin
begin()
if os.environ["RANK"] == "0":
    raise RuntimeError({_LOST.partition(": ")[2]!r})
time.sleep(1)
if sys.argv[1] == "raises":
    raise ValueError("a bad day")
os.kill(os.getpid(), int(sys.argv[1]))
"""


@pytest.mark.parametrize(
    ("how", "code", "shown"),
    [("raises", 1, "ValueError: a bad day"), (9, 137, "was killed by SIGKILL"), (11, 139, "was killed by SIGSEGV")],
)
def test_the_first_cause_is_shown_though_another_process_ended_before(
    how: object, code: int, shown: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Rank 0 ends a second earlier because its connection is lost; of that nothing is shown."""
    assert run(_RAISES, how) == code
    (told,) = caplog.messages
    assert told.startswith("rank 1 on ") and shown in told
    assert "Connection closed" not in told + capfd.readouterr().err


def test_a_traceback_of_the_first_process_is_shown_once(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    program = "from tunesmith_library_launching.reports import begin\nbegin()\nraise ValueError('a bad day')"
    assert run(program, count=1) == 1
    (told,) = caplog.messages
    assert told.count("ValueError: a bad day") == 1 and 'File "<string>", line 3' in told
    assert capfd.readouterr().err == ""


def test_a_failure_counts_before_the_process_has_ended(caplog: pytest.LogCaptureFixture) -> None:
    """What it started may keep it for long, a thread for instance."""
    program = (
        "import threading, time\nfrom tunesmith_library_launching.reports import begin\nbegin()\n"
        "threading.Thread(target=time.sleep, args=(300,)).start()\nraise ValueError('a bad day')"
    )
    began = time.monotonic()
    assert run(program, count=1) == 1
    assert time.monotonic() - began < 20 and "ValueError: a bad day" in caplog.text


class Ends(subprocess.Popen[bytes]):
    """A process that fails with exit code 2 as soon as it was seen running."""

    def __init__(self) -> None:
        super().__init__([sys.executable, "-c", "import sys; input(); sys.exit(2)"], stdin=subprocess.PIPE)

    def poll(self) -> int | None:
        code = super().poll()
        if code is None and self.stdin:
            with self.stdin as stdin:
                stdin.write(b"\n")
            self.stdin = None
            self.wait()
        return code


def test_a_failure_between_two_looks_counts(tmp_path: Path) -> None:
    worker = Worker(0, Ends(), None, tmp_path)
    group = Group(1, 1, 0, None)
    assert Attempt(0, [worker], Machines(group, Care()), Signals()).ended(60) is None
    assert worker.code == 2


def test_the_last_failure_counts_that_comes_between_two_looks(tmp_path: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", "import sys; sys.exit(2)"])
    other.wait()
    (tmp_path / "said").touch()
    workers = [Worker(0, Ends(), None, tmp_path), Worker(1, other, tmp_path / "said", tmp_path)]
    found = Attempt(0, workers, Machines(Group(2, 2, 0, None), Care()), Signals()).failures()
    assert sorted(failure.rank for failure in found) == [0, 1]


def test_the_first_of_several_causes() -> None:
    lost, late, early = (Failure(rank, "a", 1, time, follows=rank == 0) for rank, time in enumerate((1.0, 3.0, 2.0)))
    assert cause([lost, late, early]) is early
    assert cause([lost]) is lost


@pytest.mark.parametrize(
    ("error", "follows"),
    [
        (RuntimeError(_LOST), True),
        (RuntimeError("NCCL error in: ProcessGroupNCCL.cpp:2395, remote process exited"), True),
        (ConnectionResetError(104, "Connection reset by peer"), True),
        (ValueError("a bad day"), False),
        (MemoryError(), False),
    ],
)
def test_follow_ups(error: Exception, follows: bool) -> None:
    assert is_follow_up([error]) is follows


# ---- starting again --------------------------------------------------------------------------------------------------

_FAILS = """
import pathlib, sys
starts = pathlib.Path(sys.argv[1], "starts")
starts.write_text((starts.read_text() if starts.exists() else "") + " ".join(sys.argv[3:]) + ";")
sys.exit(int(sys.argv[2]))
"""


@pytest.mark.parametrize(("code", "starts"), [(1, 3), (137, 3), (2, 1), (75, 1), (76, 1), (0, 1)])
def test_what_is_started_again(code: int, starts: int, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not what would come again, nor what was interrupted; and as often as was asked."""
    assert run(_FAILS, tmp_path, code, count=1, restarts=2) == code
    assert (tmp_path / "starts").read_text() == ";" * starts, "it has no folder yet to go on in"
    assert sum("from its beginning, for rank 0" in message for message in caplog.messages) == starts - 1


def test_a_former_run_is_not_gone_on_with(tmp_path: Path) -> None:
    """overwrite=true was to delete it, and the new one had not come so far."""
    (tmp_path / "run.yaml").touch()
    assert has_begun(tmp_path, time.time()) and not has_begun(None, 0)
    os.utime(tmp_path / "run.yaml", (1_000, 1_000))
    assert not has_begun(tmp_path, time.time())


# ---- hanging ---------------------------------------------------------------------------------------------------------

_WAITS = '  File "/x/torch/distributed/distributed_c10d.py", line 9, in all_reduce\n    work.wait()\n'
_BACKWARD = '  File "/x/torch/autograd/graph.py", line 9, in _engine_run_backward\n    return run(\n'
_WRAPPED = '  File "/x/torch/nn/parallel/distributed.py", line 9, in _sync\n    broadcast_coalesced(\n'
_LOADS = '  File "/x/mine.py", line 3, in read\n    socket.recv(1)\n'
_ITEM = '  File "/x/loop.py", line 7, in step\n    loss.item()\n'


@pytest.mark.parametrize(
    ("places", "missing"),
    [
        ([_WAITS, _LOADS], [1]),
        ([_LOADS, _WRAPPED], [0]),
        ([_BACKWARD, _ITEM, _LOADS, _WAITS], [2]),
        ([_WAITS, _WAITS, _BACKWARD], [2]),  # in another operation than the others
        ([_WAITS, _BACKWARD], []),
        ([_LOADS, _LOADS], []),
    ],
)
def test_who_is_missing(places: list[str], missing: list[int]) -> None:
    assert hanging.missing(dict(enumerate(places))) == missing


_HANGS = """
import os, threading, time
from tunesmith_library_launching.reports import begin
begin()
if os.environ["RANK"] == "1":
    threading.Event().wait()  # stands for reading from a device that never answers
while True:
    if len(__import__("sys").argv) > 1:
        sum(range(1000))
    else:
        threading.Event().wait()
"""


def test_processes_that_do_not_move_are_ended(caplog: pytest.LogCaptureFixture) -> None:
    """With where each of them stands."""
    began = time.monotonic()
    assert run(_HANGS, timeout=2.0) == 1
    assert 2.0 < time.monotonic() - began < 30
    (told,) = caplog.messages
    assert told.startswith("no process of the run has moved for 2 s (parallel.timeout), so that the run was ended")
    assert "rank 0 stands at" in told and "rank 1 stands at" in told and "line 6, in <module>" in told


def test_one_that_is_at_work_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """As while it saves: then the others do not hang, but wait."""
    program = _HANGS + "\n"
    threading.Timer(4.0, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
    assert run(program, "works", timeout=1.0) == 143
    assert "has moved" not in caplog.text


# ---- interruptions ---------------------------------------------------------------------------------------------------


def test_a_terminal_that_closes_has_the_run_saved(tmp_path: Path) -> None:
    """SIGHUP, and what clusters send before they take a machine, come to the workers as SIGTERM."""
    program = """
import pathlib, signal, sys, time
heard = []
signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
pathlib.Path(sys.argv[1], "ready").touch()
while not heard:
    time.sleep(0.01)
sys.exit(75)
"""
    for number in (signal.SIGHUP, signal.SIGUSR1):
        interrupt_when(tmp_path / "ready", number)
        assert run(program, tmp_path, count=1) == 75
        (tmp_path / "ready").unlink()


def test_a_second_signal_stops_what_does_not_hear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "_TOGETHER", 0.2)
    monkeypatch.setattr(signals, "_STOPPING", 0.2)
    program = (
        "import pathlib, signal, sys, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "pathlib.Path(sys.argv[1], 'ready').touch()\ntime.sleep(300)"
    )
    interrupt_when(tmp_path / "ready", signal.SIGINT, signal.SIGINT)
    began = time.monotonic()
    assert run(program, tmp_path, count=1, restarts=3) == 130
    assert time.monotonic() - began < 30


def interrupt_when(ready: Path, *numbers: int) -> None:
    """Send this process signals, half a second apart, once a file is there."""

    def send() -> None:
        while not ready.exists():
            time.sleep(0.01)
        for number in numbers:
            os.kill(os.getpid(), number)
            time.sleep(0.5)

    threading.Thread(target=send, daemon=True).start()


def test_children_of_a_process_that_was_killed_are_ended(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, subprocess, sys\nchild = subprocess.Popen(['sleep', '300'])\n"
        "pathlib.Path(sys.argv[1], 'child').write_text(str(child.pid))\nos.kill(os.getpid(), 9)"
    )
    assert run(program, tmp_path, count=1) == 137
    stat = Path(f"/proc/{(tmp_path / 'child').read_text()}/stat")
    deadline = time.monotonic() + 10
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z" and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


_COMPILES = """
import os, subprocess, sys, time
if os.environ["RANK"] == "1":
    program = "import subprocess, sys; subprocess.Popen(['sleep', '300'], start_new_session=True)"
    subprocess.run([sys.executable, "-c", program])  # leaves a process of its own group, without a parent
    open(sys.argv[1], "w").close()
    os.kill(os.getpid(), 9)
time.sleep(300)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_what_a_killed_process_left_in_a_group_of_its_own_ends_too(tmp_path: Path) -> None:
    mark = f"TUNESMITH_TEST={tmp_path}".encode()
    os.environ["TUNESMITH_TEST"] = str(tmp_path)
    try:
        assert run(_COMPILES, tmp_path / "began") == 137 and (tmp_path / "began").exists()
    finally:
        del os.environ["TUNESMITH_TEST"]
    left = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
            if mark in (process / "environ").read_bytes().split(b"\0") and state != "Z":
                left.append(process.name)
    assert left == []
