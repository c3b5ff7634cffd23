"""Runs that Weights & Biases itself wrote, read back from its own files; and a server that is not there."""

from __future__ import annotations

import json
import logging
import struct
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tunesmith.types import Event
from tunesmith_library_testing.suites.tracker import events_of
from tunesmith_tracker_wandb import WandB

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("wandb") is None, reason="Weights & Biases is not installed: make programs"),
]

BLOCK, HEADER = 32_768, 7  # bytes of its files, which are logs as LevelDB has them


def tell(events: list[Event], **options: Any) -> None:
    tracker = WandB(**options)
    for event in events:
        tracker.on_event(event)


def records(folder: Path) -> list[Any]:
    """The records of the newest run's file, which its own process writes to the end a little after the run ended."""
    for _ in range(60):
        found = list(_records(folder))
        if found and found[-1].WhichOneof("record_type") == "exit":
            return found
        time.sleep(0.5)
    raise AssertionError([record.WhichOneof("record_type") for record in found])


def _records(folder: Path) -> Iterator[Any]:
    from wandb.proto import wandb_internal_pb2

    file = max((folder / "wandb").glob("offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime_ns)
    data, at, part = file.read_bytes(), HEADER, b""
    while at + HEADER <= len(data):
        if BLOCK - at % BLOCK < HEADER:
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + HEADER])
        body = data[at + HEADER : at + HEADER + length]
        at += HEADER + length
        part = body if kind in (1, 2) else part + body
        if kind in (1, 4):
            yield wandb_internal_pb2.Record.FromString(part)


def the_run(folder: Path) -> Any:
    """What the newest run's file says first of the run."""
    return next(record.run for record in records(folder) if record.WhichOneof("record_type") == "run")


def history(folder: Path) -> list[dict[str, Any]]:
    found = []
    for record in records(folder):
        if record.WhichOneof("record_type") == "history":
            found.append({"/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item})
    return found


def test_a_run_is_read_back_from_its_own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers at their steps, options, tables, notes, the result; a run that goes on is the same one."""
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    folder = tmp_path / "eval" / "judge" / "step-2"
    folder.mkdir(parents=True)
    (folder / "results.json").write_text('{"metrics": {"held": {"wins": {"value": 0.5, "count": 2}}}}')
    first = events_of(tmp_path, status="interrupted")
    options = {"mode": "offline", "tags": ["a"], "notes": "why", "system_seconds": 3600.0, "run_name": "named"}
    tell([*first[:4], first[-1]], **options)
    run = the_run(tmp_path)
    assert (run.project, run.display_name, run.notes, list(run.tags)) == ("mine", "named", "why", ["a"])
    assert {item.key: item.value_json for item in run.config.update}["trainer"] == '{"max_steps":4}'
    rows = history(tmp_path)
    assert [(row["train/global_step"], row["train/loss"]) for row in rows if "train/loss" in row] == [(2, 2.0)]
    assert [(row["train/global_step"], row["eval/loss"]) for row in rows if "eval/loss" in row] == [(2, 2.5)]
    assert any("system/ram_gib" in row for row in rows)
    table = next(tmp_path.glob("wandb/*/files/media/table/eval/judge/numbers*.json"))
    assert json.loads(table.read_text())["data"] == [["held", "wins", 0.5, None, 2]]
    tell(events_of(tmp_path, resumed_from=2), **options)
    assert the_run(tmp_path).run_id == run.run_id
    assert [row["train/loss"] for row in history(tmp_path) if "train/loss" in row] == [1.0]


def test_the_command_line_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have an address with a password in it."""
    monkeypatch.setattr("sys.argv", ["tunesmith", "train", "tracker.mlflow.tracking_uri=http://me:urlpw77@host"])
    tell(events_of(tmp_path), mode="offline", system_seconds=0.0)
    records(tmp_path)
    kept = [file for file in (tmp_path / "wandb").rglob("*") if file.is_file() and b"urlpw77" in file.read_bytes()]
    assert not kept


def test_without_a_key_a_run_is_kept_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    tell(events_of(tmp_path), system_seconds=0.0)
    assert "export WANDB_API_KEY" in caplog.text
    assert [row["train/loss"] for row in history(tmp_path) if "train/loss" in row] == [2.0, 1.0]


def test_a_server_that_is_not_there_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told without the key, after the time that the user gave it."""
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    started = time.monotonic()
    tell(events_of(tmp_path), mode="online", wait_seconds=1.0)
    assert time.monotonic() - started < 5.0
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [warning for warning in told if "has not answered for 1 s" in warning] and "aaaa" not in caplog.text
