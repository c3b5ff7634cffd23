"""Full and read-only disks, trackers that fail, and two that write to one place: nothing is lost, and it is said."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tunesmith
from short_runs import CUT, STEPS, bits, left_behind
from tunesmith import TunesmithError, hookimpl, plugin
from tunesmith.catalog import Catalog
from tunesmith.errors import ConfigError
from tunesmith.types import RunEnded, Saved, StepEnded
from tunesmith_library_proving import merging


@contextlib.contextmanager
def no_file_over(size: int) -> Iterator[None]:
    """The system refuses to write more than so many bytes into one file, as it does when a disk is full."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)


def listening(*listeners: Any) -> Catalog:
    """The installed plugins, and trackers that call functions with every event."""
    made = {}
    for number, listener in enumerate(listeners):

        @plugin
        class Listener:
            """Calls a function."""

            _heard: Any = listener

            @hookimpl
            def on_event(self, event: object) -> None:
                type(self)._heard(event)

        Listener._heard = staticmethod(listener)
        made[f"tracker.listener{number}"] = Listener
    return Catalog([*Catalog.discover().entries(), *Catalog.of(made).entries()])


@pytest.fixture
def whole(short_runs: Any) -> tuple[dict[str, Any], Path]:
    """A configuration and the folder of a run of it."""
    return short_runs.config, short_runs.whole


def test_a_checkpoint_that_the_disk_does_not_take(whole: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The one before is kept, what is needed and free is said, the run goes on, and its result is the same."""
    config, expected = whole
    full = contextlib.ExitStack()

    def fill(event: object) -> None:
        if isinstance(event, StepEnded) and event.step == 3:
            full.enter_context(no_file_over(20_000))
        if isinstance(event, StepEnded) and event.step == CUT:
            full.close()

    run = tmp_path / "run"
    with full:
        tracker = {"jsonl": {}, "listener0": {}}
        tunesmith.train(None, {**config, "output_dir": str(run), "tracker": tracker}, catalog=listening(fill))
    (told,) = (record.getMessage() for record in caplog.records if "was not written" in record.getMessage())
    assert told.startswith(f"{run / 'checkpoint-4'} was not written, and the run goes on: ")
    assert "are needed" in told and f"are free in {run}" in told and told.endswith("checkpoint-2 is kept")
    assert sorted(path.name for path in run.glob("checkpoint-*")) == [f"checkpoint-{step}" for step in (2, 6, STEPS)]
    assert bits(run) == bits(expected) and left_behind(run) == []


@pytest.mark.slow
def test_a_result_that_the_disk_does_not_take(whole: Any, tmp_path: Path) -> None:
    """It is refused with what to do; when there is room again, the run goes on from its last checkpoint."""
    config, expected = whole
    full = contextlib.ExitStack()

    def fill(event: object) -> None:
        if isinstance(event, Saved) and event.step == STEPS:
            full.enter_context(no_file_over(20_000))

    run = tmp_path / "run"
    config = {**config, "output_dir": str(run)}
    with full, pytest.raises(TunesmithError, match=rf"(?s)result cannot be written: .*goes on from checkpoint-{STEPS}"):
        tunesmith.train(None, {**config, "tracker": {"listener0": {}}}, catalog=listening(fill))
    assert not list(run.glob("*.safetensors")) and left_behind(run) == []
    tunesmith.train(None, {**config, "resume": True})
    assert bits(run) == bits(expected)


def test_an_export_that_the_disk_does_not_take(whole: Any, tmp_path: Path) -> None:
    _, run = whole
    target = tmp_path / "export"
    with (
        no_file_over(50_000),
        pytest.raises(
            TunesmithError,
            match=r"(?s)export cannot be written: .* are needed, .* are free in .*; nothing of it is left",
        ) as error,
    ):
        tunesmith.export(run, output_dir=target)
    assert str(error.value).count("cannot be written") == 1
    assert not list(tmp_path.iterdir())
    assert tunesmith.export(run, output_dir=target) == target and left_behind(target) == []


def test_an_export_for_which_there_is_no_room(whole: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused before the model is loaded, with what it takes and what is free."""
    _, run = whole
    little = shutil.disk_usage(tmp_path)._replace(free=10_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: little)
    monkeypatch.setattr(merging, "_write", None)
    wanted = r"an export of this model takes about [\d.]+ KiB, and 9\.8 KiB are free in .*\n.*--output FOLDER"
    with pytest.raises(TunesmithError, match=wanted):
        tunesmith.export(run, output_dir=tmp_path / "export")
    assert not list(tmp_path.iterdir())


def test_an_export_to_where_nobody_may_write(whole: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is loaded."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ConfigError, match=rf"{tmp_path} may not be written to\.\nchoose another: --output"):
        tunesmith.export(whole[1], output_dir=tmp_path / "deep" / "export")


@pytest.mark.slow
def test_little_room_is_said_before_the_first_step(
    whole: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100_000))
    began = []

    def hear(event: object) -> None:
        if isinstance(event, StepEnded) and not began:
            began.append(caplog.text)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        config = {**whole[0], "output_dir": str(tmp_path / "run"), "tracker": {"listener0": {}}}
        tunesmith.train(None, config, catalog=listening(hear))
    assert "two checkpoints take about" in began[0] and "97.7 KiB are free in" in began[0]


@pytest.mark.slow
def test_a_tracker_never_stops_a_run(whole: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In whatever event it fails, and with whatever; it is said once, with the cause, and others hear all."""
    config, expected = whole
    heard = []

    def lost(event: object) -> None:
        raise ConnectionError("the service is gone")

    def full(event: object) -> None:
        if isinstance(event, Saved | RunEnded):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    tracker = {f"listener{number}": {} for number in range(3)}
    config = {**config, "output_dir": str(tmp_path / "run"), "tracker": tracker}
    run = tunesmith.train(None, config, catalog=listening(lost, full, heard.append))
    assert bits(run) == bits(expected)
    failed = [record.getMessage() for record in caplog.records if "failed" in record.getMessage()]
    assert sorted(failed) == [
        "tracker.listener0 failed at RunStarted, the run goes on: ConnectionError: the service is gone",
        "tracker.listener1 failed at Saved, the run goes on: OSError: [Errno 28] No space left on device",
    ]
    assert [event.step for event in heard if isinstance(event, StepEnded)] == list(range(1, STEPS + 1))
    assert isinstance(heard[-1], RunEnded) and heard[-1].status == "finished"


@pytest.mark.slow
def test_two_runs_in_one_folder(whole: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The second one is refused, also when it would overwrite or resume, and the first one finishes as if alone."""
    config, expected = whole
    run = tmp_path / "run"
    config = {**config, "output_dir": str(run)}
    refused: list[str] = []

    def disturb(event: object) -> None:
        if isinstance(event, StepEnded) and event.step == 3:
            for more in ({}, {"overwrite": True}, {"resume": True}):
                try:
                    tunesmith.train(None, {**config, **more})
                except ConfigError as error:
                    refused.append(str(error))

    tunesmith.train(None, {**config, "tracker": {"jsonl": {}, "listener0": {}}}, catalog=listening(disturb))
    assert len(refused) == 3 and all(
        f"in use: process {os.getpid()} writes there (training" in text for text in refused
    )
    assert bits(run) == bits(expected) and left_behind(run) == []
    again = {**config, "overwrite": True}
    assert bits(tunesmith.train(None, again)) == bits(expected)


@pytest.mark.slow
def test_two_exports_to_one_folder(whole: Any, tmp_path: Path) -> None:
    """Started together, one of them writes."""
    _, run = whole
    told: list[str] = []
    barrier = threading.Barrier(2)

    def work() -> None:
        barrier.wait()
        try:
            told.append(str(tunesmith.export(run, output_dir=tmp_path / "export")))
        except ConfigError as error:
            told.append(
                "in use" if "is in use" in str(error) else "exists" if "exists already" in str(error) else str(error)
            )

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert str(tmp_path / "export") in told and {"in use", "exists"} & set(told)
    assert left_behind(tmp_path / "export") == []
