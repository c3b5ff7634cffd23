"""Runs in Trackio's own database."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("trackio") is None, reason="Trackio is not installed: make programs"),
]

# where it keeps runs is read when it is imported: a process of its own
RUN = """
import sys
from pathlib import Path
from tunesmith.types import Saved
from tunesmith_library_testing.suites.tracker import events_of
from tunesmith_tracker_trackio import Trackio

folder = Path(sys.argv[1])
options = {"project": "mine", "log_model": True, "system_seconds": 3600.0, "run_name": "named"}
first = events_of(folder, status="interrupted")
*rest, end = events_of(folder, resumed_from=2)
for events in ([*first[:4], first[-1]], [*rest, Saved(4, folder), end]):
    tracker = Trackio(**options)
    for event in events:
        tracker.on_event(event)
"""


def test_a_run_in_its_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is interrupted and goes on is one run, with numbers, options, tables, and the files of its result."""
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    folder = tmp_path / "run"
    place = folder / "eval" / "judge" / "step-2"
    place.mkdir(parents=True)
    (place / "results.json").write_text('{"metrics": {"held": {"wins": {"value": 0.5, "count": 2}}}}')
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    subprocess.run([sys.executable, "-c", RUN, str(folder)], check=True, timeout=300)
    rows: list[tuple[str, int, dict[str, Any]]] = []
    with sqlite3.connect(tmp_path / "trackio" / "mine.db") as database:
        for run, step, metrics in database.execute("select run_name, step, metrics from metrics order by id"):
            rows.append((run, step, json.loads(metrics)))
        (config,) = database.execute("select config from configs").fetchone()
        system = [json.loads(row[0]) for row in database.execute("select metrics from system_metrics")]
        names = {row[0] for row in database.execute("select name from artifacts")}
    assert {run for run, *_ in rows} == {"named"}
    assert [(step, row["train/loss"]) for _, step, row in rows if "train/epoch" in row] == [(2, 2.0), (4, 1.0)]
    assert [(step, row["eval/loss"]) for _, step, row in rows if "eval/loss" in row] == [(2, 2.5)]
    (table,) = [row["eval/judge/numbers"] for _, _, row in rows if "eval/judge/numbers" in row]
    assert (table["_value"][0]["metric"], table["_value"][0]["value"]) == ("wins", 0.5)
    assert json.loads(config)["trainer"] == {"max_steps": 4}
    assert system and all(row["ram_gib"] > 0 for row in system)
    assert names == {"model-named"}
