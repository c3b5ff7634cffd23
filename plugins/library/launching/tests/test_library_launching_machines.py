"""Launchers of several machines find together, start one run, and end it together; here they are threads of one."""

from __future__ import annotations

import logging
import re
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tunesmith.errors import TunesmithError
from tunesmith_library_launching import folders
from tunesmith_library_launching.launching import launch
from tunesmith_library_launching.machines import address, free_port
from tunesmith_library_launching.workers import Care, Group

_SHOWS = "import os, pathlib, sys; pathlib.Path(sys.argv[1], os.environ['RANK']).write_text(str(dict(os.environ)))"


def start(
    program: str,
    *arguments: object,
    places: tuple[Path | None, ...] = (None, None),
    counts: tuple[int, ...] = (2, 2),
    starts: tuple[int, ...] = (0, 1),
    **care: Any,
) -> list[Future[int]]:
    """Two launchers, each with its number of processes and its folder of the run."""
    master = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-c", program, *map(str, arguments)]
    with ThreadPoolExecutor(2) as threads:
        return [
            threads.submit(
                launch,
                command,
                Group(counts[machine], sum(counts), machine * counts[0], master, machine, 2),
                Care(**{"timeout": 30.0, **care}, folder=places[machine]),
            )
            for machine in starts
        ]


def test_they_start_one_run(tmp_path: Path) -> None:
    """Ranks go on from machine to machine, and all processes look for the same place, which the first one chose."""
    assert [each.result() for each in start(_SHOWS, tmp_path)] == [0, 0]
    seen = {file.name: eval(file.read_text()) for file in tmp_path.iterdir()}
    assert sorted(seen) == ["0", "1", "2", "3"]
    assert [seen[rank]["LOCAL_RANK"] for rank in sorted(seen)] == ["0", "1", "0", "1"]
    assert {each["WORLD_SIZE"] for each in seen.values()} == {"4"}
    assert {each["LOCAL_WORLD_SIZE"] for each in seen.values()} == {"2"}
    assert len({(each["MASTER_ADDR"], each["MASTER_PORT"]) for each in seen.values()}) == 1


def test_one_that_fails_ends_those_of_the_other(caplog: pytest.LogCaptureFixture) -> None:
    """Within seconds; the first machine says why, the other one points to it."""
    program = "import os, sys, time\nif os.environ['RANK'] == '3': sys.exit('a bad day')\ntime.sleep(300)"
    began = time.monotonic()
    assert [each.result() for each in start(program)] == [1, 1]
    assert time.monotonic() - began < 20
    told = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert sorted(message.endswith("the end of what it said:\na bad day") for message in told) == [False, True]
    assert sum("the first one tells more" in message for message in told) == 1
    assert all(re.match(r"rank 3 on \S+", message) for message in told)


def test_an_interrupted_run_is_so_on_both() -> None:
    """75 of one process is 75 of the run, also where the other machine's have just ended."""
    assert [each.result() for each in start("import os, sys; sys.exit(75 * (os.environ['RANK'] == '2'))")] == [75, 75]


def test_they_start_again_together(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The run has begun to write, so it goes on from there; a place to meet is new."""
    program = """
import os, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
(folder / "run.yaml").touch()
(folder / f"start-{os.environ['RANK']}-{len(sys.argv)}").write_text(" ".join(sys.argv[2:]))
if len(sys.argv) == 2:
    if os.environ["RANK"] == "2":
        sys.exit("a bad day")
    time.sleep(300)
"""
    assert [each.result() for each in start(program, tmp_path, places=(tmp_path, tmp_path), restarts=2)] == [0, 0]
    again = [file.read_text() for file in tmp_path.glob("start-*-4")]
    assert again == ["resume=true overwrite=false"] * 4
    (warning,) = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert re.fullmatch(r"restart 1 of 2, from its last checkpoint, for rank 2 on \S+: a bad day", warning)


def test_a_machine_that_does_not_come_is_named() -> None:
    (waits,) = start("", starts=(0,), timeout=1.0)
    with pytest.raises(TunesmithError, match=r"of 2 machines, counted from 0, number 1 did not come to .* within 1 s"):
        waits.result()


def test_a_first_machine_that_does_not_come_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    """Without a stack of compiled code."""
    (waits,) = start("", starts=(1,), timeout=1.0)
    with pytest.raises(TunesmithError, match=r"machine 0 did not come to 127\.0\.0\.1:\d+ within 1 s"):
        waits.result()
    assert capfd.readouterr().err == ""


def test_machines_with_other_numbers_of_processes_are_refused() -> None:
    for each in start("", counts=(2, 1)):
        with pytest.raises(TunesmithError, match="starts 1 processes, and the first one 2"):
            each.result()


@pytest.mark.parametrize(
    ("care", "wrong"),
    [({}, None), ({"spreads": True}, "its share of the weights"), ({"restarts": 1}, "goes on from checkpoints")],
)
def test_folders_that_are_not_the_same(
    care: dict[str, Any], wrong: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Only the first process writes, so that two folders are enough for a start; not where all of them write."""
    started = start("", places=(tmp_path / "here", tmp_path / "there"), **care)
    if wrong is None:
        assert [each.result() for each in started] == [0, 0]
        assert "what the run makes is written on the first one alone" in caplog.text
    else:
        for each in started:
            with pytest.raises(TunesmithError, match=wrong):
                each.result()
    assert not list((tmp_path / "here").iterdir()), "the mark is taken away"


@pytest.mark.parametrize(("there", "fits"), [("checkpoint-20", True), ("checkpoint-9", False)])
def test_a_run_goes_on_from_the_same_checkpoint(
    there: str, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "PATIENCE", 0.2)
    (tmp_path / "here" / "checkpoint-20").mkdir(parents=True)
    (tmp_path / "there" / there).mkdir(parents=True)
    for each in start("", places=(tmp_path / "here", tmp_path / "there"), resume=True):
        if fits:
            assert each.result() == 0
        else:
            with pytest.raises(TunesmithError, match="another newest checkpoint"):
                each.result()


def test_addresses() -> None:
    assert address("10.0.0.1:29500") == ("10.0.0.1", 29500)
    assert address("[fe80::1]:29500") == ("fe80::1", 29500)
