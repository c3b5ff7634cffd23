"""One process at a time writes to a folder; a dead one's lock is taken over, another machine's respected."""

import contextlib
import dataclasses
import errno
import json
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tunesmith_library_configuration import locks
from tunesmith_library_configuration.errors import ConfigError
from tunesmith_library_configuration.folders import opened, place_problems
from tunesmith_library_configuration.locks import IN_FOLDER, at_work, beside, locked, refuse_locked
from tunesmith_library_configuration.owners import this_process
from tunesmith_library_configuration.space import shortage, unwritable

HOLDS = """
import sys, time; from pathlib import Path; from tunesmith_library_configuration.locks import locked
with locked(Path(sys.argv[1]), Path(sys.argv[1]).parent, "training"):
    print("held", flush=True); time.sleep(60)
"""


def write(lock, **changed):
    """A lock as another process would have left it."""
    owner = {**dataclasses.asdict(this_process()), **changed}
    lock.write_text(json.dumps({"owner": owner, "work": "training", "since": "2026-01-02 03:04:05"}))


def test_held_and_let_go(tmp_path):
    lock = tmp_path / "deep" / IN_FOLDER
    with pytest.raises(ZeroDivisionError), locked(lock, lock.parent, "training"):
        with pytest.raises(ConfigError, match=rf"is in use: process {os.getpid()} writes there \(training, since "):
            locked(lock, lock.parent, "an export").__enter__()
        with pytest.raises(ConfigError, match=f"kill {os.getpid()}"):
            refuse_locked(lock, lock.parent)
        assert lock.exists(), "whoever is refused takes nothing away"
        1 / 0  # noqa: B018
    assert not lock.exists()
    refuse_locked(lock, lock.parent)


def test_a_living_process_is_respected_and_a_killed_one_is_not(tmp_path, caplog):
    lock = tmp_path / IN_FOLDER
    process = subprocess.Popen([sys.executable, "-c", HOLDS, str(lock)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    with pytest.raises(ConfigError, match=f"process {process.pid} writes there"):
        locked(lock, tmp_path, "training").__enter__()
    process.kill()
    process.communicate()
    refuse_locked(lock, tmp_path)
    with caplog.at_level(logging.WARNING, logger="tunesmith"), locked(lock, tmp_path, "training"):
        assert json.loads(lock.read_text())["owner"]["process"] == os.getpid()
    assert f"process {process.pid} (training since" in caplog.text and "was killed" in caplog.text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("changed", [{"boot": "an earlier one"}, {"started": "1"}])
def test_a_number_that_came_again_is_another_process(tmp_path, changed):
    lock = tmp_path / IN_FOLDER
    write(lock, **changed)
    with locked(lock, tmp_path, "training"):
        assert json.loads(lock.read_text())["owner"]["started"] == this_process().started


@pytest.mark.parametrize("changed", [{"host": "elsewhere"}, {"place": "a container", "process": 1}])
def test_another_machine_cannot_be_asked(tmp_path, changed):
    lock = tmp_path / IN_FOLDER
    write(lock, **changed, started="1")
    kept = lock.read_text()
    with pytest.raises(ConfigError, match="whether it still runs cannot be seen from here") as error:
        locked(lock, tmp_path, "training").__enter__()
    assert f"rm {lock}" in str(error.value) and lock.read_text() == kept


def test_a_lock_without_an_owner(tmp_path, caplog):
    """A process was killed between making the file and writing it; one that has just made it is waited for."""
    lock = tmp_path / IN_FOLDER
    lock.touch()
    threading.Timer(0.1, write, (lock,)).start()
    with pytest.raises(ConfigError, match="is in use"):
        locked(lock, tmp_path, "training").__enter__()
    lock.write_text("{")
    os.utime(lock, (time.time() - 60, time.time() - 60))
    with caplog.at_level(logging.WARNING, logger="tunesmith"), locked(lock, tmp_path, "training"):
        assert "names no process" in caplog.text


def test_of_many_that_take_over_one_gets_it(tmp_path, monkeypatch):
    monkeypatch.setattr(locks.time, "sleep", lambda _: None)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # threads meet inside the taking over
    try:
        assert [_holders_of(tmp_path / IN_FOLDER) for _ in range(50)] == [1] * 50
    finally:
        sys.setswitchinterval(interval)


def _holders_of(lock):
    write(lock, started="1")
    start, all_answered, held, answered = threading.Barrier(8), threading.Event(), [], []

    def try_it():
        start.wait()
        with contextlib.suppress(ConfigError), locked(lock, lock.parent, "training"):
            held.append(1)
            tell()
            all_answered.wait(30)
            return
        tell()

    def tell():
        answered.append(1)
        if len(answered) == 8:
            all_answered.set()

    threads = [threading.Thread(target=try_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(held)


def test_a_lock_that_cannot_be_written_is_not_left_half(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(locks.os, "write", full)
    with pytest.raises(ConfigError, match=r"cannot be written to: No space left on device \(.* are free in "):
        locked(tmp_path / IN_FOLDER, tmp_path, "training").__enter__()
    assert not list(tmp_path.iterdir())
    assert beside(tmp_path / "model") == tmp_path / ".model.lock"


def test_those_who_add_are_seen_by_whoever_wants_the_folder(tmp_path):
    """Several may add something at once; a run that would delete it is refused, and refuses them while it is there."""
    files = {"run.yaml": "a: 1\n"}
    with opened(tmp_path, files, resume=False, overwrite=False):
        (tmp_path / "result").touch()
        with pytest.raises(ConfigError, match="training"), at_work(tmp_path, "evaluations", "an evaluation"):
            pass
    with at_work(tmp_path, "evaluations", "an evaluation"), at_work(tmp_path, "predictions", "answers"):
        with pytest.raises(ConfigError, match="in use"), opened(tmp_path, files, resume=False, overwrite=True):
            pass
        assert (tmp_path / "result").exists()
    with opened(tmp_path, files, resume=False, overwrite=True):
        assert sorted(path.name for path in tmp_path.iterdir()) == ["run.lock", "run.yaml"]


def test_a_lock_may_be_waited_for(tmp_path):
    lock = tmp_path / ".a.lock"
    held = locked(lock, tmp_path, "an evaluation")
    held.__enter__()
    threading.Timer(0.2, held.__exit__, (None, None, None)).start()
    with locked(lock, tmp_path, "an evaluation", patience=30):
        assert lock.exists()
    with locked(lock, tmp_path, "an evaluation"), pytest.raises(ConfigError):
        locked(lock, tmp_path, "an evaluation", patience=0.1).__enter__()


def test_a_place_inside_a_living_runs_folder_is_refused(tmp_path):
    run = tmp_path / "p"
    inside = run / "checkpoint-1000"
    with locked(run / IN_FOLDER, run, "training"):
        (problem,) = place_problems(inside, {}, resume=False, overwrite=False)
        assert f"process {os.getpid()} writes there (training" in problem.message and problem.key == "output_dir"
        with pytest.raises(ConfigError, match="is in use"):
            opened(inside, {"run.yaml": ""}, resume=False, overwrite=False).__enter__()
        with pytest.raises(ConfigError, match="is in use"):
            locks.writing(run / "deep" / "merged", "an export").__enter__()
        assert f"process {os.getpid()} trains there" in str(locks.unfinished(run))
        assert sorted(path.name for path in run.iterdir()) == [IN_FOLDER]
        assert not place_problems(tmp_path / "q", {}, resume=False, overwrite=False)
    assert not place_problems(inside, {}, resume=False, overwrite=False)
    assert "finish it: tunesmith train" in str(locks.unfinished(run))


def test_a_place_that_cannot_be_is_a_problem_that_says_what_it_is(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "gone")
    (problem,) = place_problems(link / "run", {}, resume=False, overwrite=False)
    assert f"{link} is a link to {tmp_path / 'gone'}, which is not there" in problem.message
    assert problem.advice == "choose another: output_dir=FOLDER"
    assert unwritable(tmp_path / "a" / "b") is None
    if os.path.isdir("/proc/self"):
        assert unwritable(Path("/proc/x")) is not None
    assert shortage(FileExistsError(errno.EEXIST, "File exists"), tmp_path) == "File exists"
    assert "are free in" in shortage(OSError(errno.ENOSPC, "No space left on device"), tmp_path)
