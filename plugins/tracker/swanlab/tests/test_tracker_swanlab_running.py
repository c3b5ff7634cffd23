"""Runs that SwanLab itself wrote: what its local mode leaves, its offline files, and a server that is not there."""

from __future__ import annotations

import json
import logging
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from tunesmith.types import Event, Saved
from tunesmith_library_testing.suites.tracker import events_of
from tunesmith_tracker_swanlab import SwanLab

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("swanlab") is None, reason="SwanLab is not installed: make programs"),
]


def tell(events: list[Event], **options: Any) -> None:
    tracker = SwanLab(**options)
    for event in events:
        tracker.on_event(event)


def local_metrics(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The numbers of the newest run of the local mode, by the database that its dashboard reads."""
    import sqlite3

    run = max((folder / "swanlog").glob("run-*"), key=lambda path: path.stat().st_mtime_ns)
    with sqlite3.connect(folder / "swanlog" / "runs.swanlab") as database:
        names = dict(database.execute("select id, name from tag").fetchall())
    found = {}
    for place in run.glob("logs/*/*.log"):
        rows = [json.loads(line) for line in place.read_text().splitlines()]
        found[names[int(place.parent.name)]] = [(row["index"], row["data"]) for row in rows]
    return found


def test_a_run_of_the_local_mode(tmp_path: Path) -> None:
    """Numbers at their steps, options and what came of the run."""
    *rest, end = events_of(tmp_path)
    tell([*rest, Saved(4, tmp_path), end], mode="local", system_seconds=3600.0, notes="why", tags=["a"])
    found = local_metrics(tmp_path)
    assert found["train/loss"] == [(2, 2.0), (4, 1.0)]
    assert found["eval/loss"] == [(2, 2.5)] and found["system/ram_gib"][0][0] == 4
    (config,) = tmp_path.glob("swanlog/run-*/files/config.yaml")
    values = {name: told["value"] for name, told in yaml.safe_load(config.read_text()).items()}
    assert values == {
        "trainer": {"max_steps": 4},
        "result": str(tmp_path.resolve()),
        "summary": {"train/loss": 1.0},
        "status": "finished",
    }


def test_without_a_key_a_run_is_kept_offline_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Both parts are files that `swanlab sync` sends as one run."""
    monkeypatch.setenv("SWANLAB_ROOT", str(tmp_path / "home"))
    for name in ("SWANLAB_API_KEY", "SWANLAB_MODE"):
        monkeypatch.delenv(name, raising=False)
    first = events_of(tmp_path, status="interrupted")
    tell([*first[:4], first[-1]], system_seconds=0.0)
    assert "export SWANLAB_API_KEY" in caplog.text
    tell(events_of(tmp_path, resumed_from=2), system_seconds=0.0)
    names = [path.name for path in tmp_path.glob("swanlog/run-*/run-*.swanlab")]
    assert len(names) == 2 and len(set(names)) == 1, "of one run"
    assert not [record for record in caplog.records if "failed" in record.getMessage()]


def test_a_server_that_is_not_there_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SWANLAB_API_HOST", "http://127.0.0.1:9")
    monkeypatch.setenv("SWANLAB_API_KEY", "a" * 21)
    started = time.monotonic()
    tell(events_of(tmp_path), mode="cloud", wait_seconds=1.0)
    assert time.monotonic() - started < 5.0
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len([warning for warning in warnings if warning.startswith("tracker.swanlab")]) == 1
    assert "aaaa" not in caplog.text
