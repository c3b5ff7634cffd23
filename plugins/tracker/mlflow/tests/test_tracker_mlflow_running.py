"""Runs in a database, in a folder, and with a real server, as MLflow's own client reads them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tunesmith.types import RunEnded, RunStarted, Saved, StepEnded
from tunesmith_library_testing.suites.tracker import events_of
from tunesmith_tracker_mlflow import MLflow

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("flask_cors") is None, reason="MLflow is not installed: make programs"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an `mlflow server`."""
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    store = ("--backend-store-uri", f"sqlite:///{folder}/runs.db", "--artifacts-destination", str(folder / "files"))
    command = (sys.executable, "-m", "mlflow", "server", *store, "--host", "127.0.0.1", "--port", str(port))
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            (*command, "--workers", "1"), stdout=log, stderr=log, cwd=folder, env=environment, start_new_session=True
        )
    try:
        yield _answering(f"http://127.0.0.1:{port}", process, folder / "log")
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # its workers, too
        process.wait(30)


def _answering(address: str, process: subprocess.Popen[bytes], log: Path) -> str:
    for _ in range(600):  # its start takes 10 s, and minutes on a busy machine
        try:
            urllib.request.urlopen(f"{address}/health", timeout=5)
            return address
        except OSError:
            assert process.poll() is None, log.read_text()
            time.sleep(0.5)
    raise AssertionError(log.read_text())


def tell(events: list[Any], **options: Any) -> None:
    tracker = MLflow(system_seconds=0.0, **options)
    for event in events:
        tracker.on_event(event)


def the_run(uri: str, experiment: str) -> tuple[Any, Any]:
    """MLflow's client, and the one run of an experiment."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    (run,) = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    return client, run


def steps(client: Any, run: Any, metric: str) -> list[tuple[int, float]]:
    return [(value.step, value.value) for value in client.get_metric_history(run.info.run_id, metric)]


def check_a_run(uri: str, folder: Path) -> None:
    """A run that is interrupted and goes on is one run, with its numbers, options, tables, tags and files."""
    place = folder / "eval" / "judge" / "step-2"
    place.mkdir(parents=True)
    (place / "results.json").write_text('{"metrics": {"held": {"wins": {"value": 0.5, "count": 2}}}}')
    (place / "samples.jsonl").write_text('{"index": 0, "wins": 1}\n')
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    options = {"tracking_uri": uri, "experiment": "mine", "log_model": True, "notes": "why", "tags": {"a": "b"}}
    first = events_of(folder, status="interrupted")
    tell([*first[:4], first[-1]], **options)
    client, run = the_run(uri, "mine")
    assert (run.info.status, run.info.run_name) == ("KILLED", folder.name)
    *rest, end = events_of(folder, resumed_from=2)
    tell([*rest, Saved(4, folder), end], **options)
    client, run = the_run(uri, "mine")
    assert run.info.status == "FINISHED" and run.data.params == {"trainer.max_steps": "4"}
    assert steps(client, run, "train/loss") == [(2, 2.0), (2, 1.0), (4, 1.0)], "and of its first end"
    assert steps(client, run, "eval/loss") == [(2, 2.5)]
    assert steps(client, run, "train/zero_gradient/model.layers._.q_proj.lora_A") == [(2, 4.0), (4, 4.0)]
    assert sorted(value for name, value in run.data.metrics.items() if "größe" in name) == [0.25, 0.5]
    assert run.data.tags["a"] == "b" and run.data.tags["mlflow.note.content"] == "why"
    assert run.data.tags["result"] == str(folder.resolve())
    assert [file.path for file in client.list_artifacts(run.info.run_id, "model")] == [
        "model/adapter_model.safetensors"
    ]
    table = json.loads(Path(client.download_artifacts(run.info.run_id, "eval/judge/step-2/numbers.json")).read_text())
    assert table["columns"] == ["dataset", "metric", "value", "standard_error", "count"]
    assert table["data"] == [["held", "wins", 0.5, None, 2]]


def test_a_run_in_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    check_a_run(f"sqlite:///{tmp_path}/runs.db", tmp_path / "run")


def test_a_run_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    check_a_run(str(tmp_path / "runs"), tmp_path / "run")


def test_a_run_with_a_server(server: str, tmp_path: Path) -> None:
    check_a_run(server, tmp_path)


def test_the_environment_says_where(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With more options than the server takes at once, and one that is too long for it."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "theirs")
    monkeypatch.setenv("MLFLOW_TAGS", '{"team": "x"}')
    options = {f"option{index}": index for index in range(150)} | {"long": "x" * 7000, "patch": {"/a/x.py:Y": 1}}
    tell([RunStarted(tmp_path, 1, options), StepEnded(1, 1, 1.0, {"loss": float("nan")}), RunEnded("failed")])
    _, run = the_run(server, "theirs")
    assert run.info.status == "FAILED" and run.data.tags["team"] == "x"
    assert len(run.data.params) == 152 and run.data.params["patch./a/x.py_Y"] == "1"
    assert len(run.data.params["long"]) == 6000
    assert run.data.metrics["train/loss"] != run.data.metrics["train/loss"], "NaN"
