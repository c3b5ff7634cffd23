"""One process of a run, as an actor starts it and tells of it; without Ray, which only carries the calls."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tunesmith.errors import TunesmithError
from tunesmith_parallel_ray import launching, watching
from tunesmith_parallel_ray.placing import Placed
from tunesmith_parallel_ray.process import Heard, Process, Where


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    made = []

    def started(program: str, *words: str, heard: bool = True, files: dict[str, bytes] | None = None) -> Process:
        process = Process()
        made.append(process)
        command = ["a python of another machine", "-c", program, *words]
        assert process.start(command, files or {}, os.getcwd(), {"RANK": "1", "OMP_NUM_THREADS": "1"}, heard) == ""
        return process

    yield started
    for process in made:
        process.end()


def ended(process: Process) -> Heard:
    """What it said in all."""
    out, err = b"", b""
    deadline = time.monotonic() + 60
    while True:
        heard = process.poll()
        out, err = out + heard.out, err + heard.err
        if heard.code is not None:
            return Heard(heard.code, out, err, heard.still, heard.reported)
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_is_heard_comes_as_it_is_said(start: Callable[..., Process]) -> None:
    process = start("import sys; print('first', flush=True); input() if sys.stdin.isatty() else None; sys.exit('last')")
    found = ended(process)
    assert (found.code, found.out, found.err) == (1, b"first\n", b"last\n")
    failure = process.failure(0, "here")
    assert failure is not None and failure.told and not failure.text


def test_of_what_is_not_heard_the_end_is_kept(start: Callable[..., Process]) -> None:
    process = start("import sys; print('out'); sys.exit('line\\n' * 50_000 + 'a bad day')", heard=False)
    assert ended(process).err == b""
    failure = process.failure(1, "here")
    assert failure is not None and not failure.told and failure.code == 1
    assert failure.text.splitlines()[-1] == "a bad day" and len(failure.text.splitlines()) == 40


def test_an_error_is_reported_with_its_traceback(start: Callable[..., Process]) -> None:
    """By whoever trains, as to every launcher; and where it stands meanwhile."""
    program = "from tunesmith_library_launching.reports import begin; begin(); import time; time.sleep(1); 1 / 0"
    process = start(program, heard=False)
    deadline = time.monotonic() + 60
    while "time.sleep(1)" not in process.place() and time.monotonic() < deadline and process.failure(1, "") is None:
        time.sleep(0.02)
    assert process.poll().still < 30
    found = ended(process)
    assert (found.code, found.reported) == (1, True)
    failure = process.failure(1, "there")
    assert failure is not None and failure.short == "rank 1 on there: ZeroDivisionError: division by zero"
    assert "Traceback" in failure.text and not failure.follows


def test_a_signal_reaches_it_where_ray_blocks_signals(start: Callable[..., Process], tmp_path: Path) -> None:
    """Ray's own processes hear no Ctrl-C, and what they start would not either."""
    ready = tmp_path / "ready"
    program = """
import pathlib, signal, sys, time
signal.signal(signal.SIGINT, lambda *_: sys.exit(75))
pathlib.Path(sys.argv[1]).touch()
time.sleep(60)
"""
    former = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process = start(program, str(ready))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)
    deadline = time.monotonic() + 60
    while not ready.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.signal(signal.SIGINT)
    assert ended(process).code == 75


def test_a_file_that_a_machine_lacks_is_brought(start: Callable[..., Process], tmp_path: Path) -> None:
    here = tmp_path / "here.yaml"
    here.write_text("here")
    away = str(tmp_path / "away" / "my.yaml")
    program = "import pathlib, sys; print([pathlib.Path(word).read_text() for word in sys.argv[1:]], sys.argv[2])"
    process = start(program, str(here), away, files={str(here): b"other", away: b"brought"})
    said = ended(process).out.decode()
    assert said.startswith("['here', 'brought']") and said.rstrip().endswith("my.yaml") and away not in said


def test_its_children_end_with_it(start: Callable[..., Process], tmp_path: Path) -> None:
    program = """
import pathlib, subprocess, sys, time
child = subprocess.Popen(["sleep", "300"])
draft = pathlib.Path(sys.argv[1] + ".draft")
draft.write_text(str(child.pid))
draft.rename(sys.argv[1])
time.sleep(300)
"""
    process = start(program, str(tmp_path / "child"))
    deadline = time.monotonic() + 60
    while not (tmp_path / "child").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.end()
    stat = Path("/proc", (tmp_path / "child").read_text(), "stat")
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z" and time.monotonic() < deadline:
        time.sleep(0.02)
    assert time.monotonic() < deadline


def test_a_folder_is_asked_for_what_another_machine_wrote(tmp_path: Path) -> None:
    process, file = Process(), str(tmp_path / "run" / ".tunesmith-1")
    assert not process.sees(file)
    assert process.write(file) == "" and process.sees(file)
    process.forget(file)
    assert not process.sees(file)
    (tmp_path / "no folder").touch()
    assert "no folder" in process.write(str(tmp_path / "no folder" / "file"))
    process.end()


class Near(Placed):
    """A process whose actor is an object here."""

    def ask(self, method: str, *arguments: Any, **named: Any) -> Any:
        return getattr(self.actor, method)(*arguments, **named)


class Elsewhere(Process):
    """On a machine with other disks."""

    def sees(self, file: str) -> bool:
        return False


def near(rank: int, machine: str, actor: Process) -> Near:
    return Near(rank, 0, 1, Where(machine, f"host-{machine}", "10.0.0.1", 2, (), ()), (), actor)


def test_a_run_needs_a_folder_that_its_machines_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the look is left; on one machine nobody looks."""
    monkeypatch.setattr(launching, "_LOOKS", 2)
    first, alike, other = Process(), Process(), Elsewhere()
    launching.shared_folder([near(0, "a", first), near(1, "b", alike)], tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []
    with pytest.raises(TunesmithError, match="what host-a writes there is not seen on host-c") as raised:
        launching.shared_folder([near(0, "a", first), near(1, "b", alike), near(2, "c", other)], tmp_path / "run")
    assert "parallel.placement=STRICT_PACK" in str(raised.value)
    assert list((tmp_path / "run").iterdir()) == []
    launching.shared_folder([near(0, "c", other), near(1, "c", other)], tmp_path / "none")
    assert not (tmp_path / "none").exists()
    for process in (first, alike, other):
        process.end()


class Standing:
    """A process that is where it is."""

    def __init__(self, place: str) -> None:
        self._place = place

    def place(self) -> str:
        return self._place


def test_of_a_run_that_hangs_it_is_told_who_did_not_come(caplog: pytest.LogCaptureFixture) -> None:
    waiting = '  File "torch/distributed/c10d.py", line 1, in all_reduce\n    work.wait()\n'
    away = '  File "mine.py", line 7, in score\n    lock.acquire()\n'
    places: list[Any] = [Standing(waiting), Standing(away), Standing(waiting)]
    ended = watching.hung([near(rank, "abc"[rank], place) for rank, place in enumerate(places)], 60)
    assert ended.code == 1
    watching.tell(ended)
    assert caplog.messages[0].startswith("no process of the run has moved for 60 s (parallel.timeout); the others wait")
    assert "rank 1" in caplog.messages[0] and 'File "mine.py", line 7, in score' in caplog.messages[0]


def test_the_python_is_that_of_the_machine(start: Callable[..., Process]) -> None:
    assert ended(start("import sys; print(sys.executable)")).out.decode().strip() == sys.executable
