"""The interface for who watches runs, without a browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tunesmith_command_webui.app import make_app
from tunesmith_command_webui.options import Options
from tunesmith_library_studio import Studio, Workspace


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    tmp_path = tmp_path_factory.mktemp("watched")
    run = tmp_path / "runs" / "组" / "my run"
    run.mkdir(parents=True)
    (run / "run.yaml").write_text("stage: {name: sft}\n")
    records = [{"step": number, "total_steps": 9, "loss": 1 / number, "loss_a,b": 2.0} for number in range(1, 10)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (run / "train.log").write_text("one\nWARNING: two\n第三\n", encoding="utf-8")
    studio = Studio(Workspace(Path("runs"), tmp_path))
    yield TestClient(make_app(studio, Options()), base_url="http://127.0.0.1")
    studio.close()


def test_a_run_is_asked_for(client: TestClient) -> None:
    run = {"run": "组/my run"}
    found = client.get("/api/watch/curves", params={**run, "smoothing": 0.5, "points": 4}).json()
    assert (found["rows"], found["step"], found["total_steps"], found["axes"]) == (9, 9, 9, ["step"])
    loss = found["curves"]["loss"]
    assert loss["step"] == [1, 9] and loss["y"][1] == pytest.approx(1 / 9) and len(loss["smooth"]) == 2
    table = client.get("/api/watch/curves.csv", params={**run, "metrics": "loss"})
    assert (
        table.text.splitlines()[:2] == ["step,loss", "1,1.0"]
        and "filename*=utf-8''%E7%BB%84-my%20run.csv" in (table.headers["content-disposition"])
    )
    assert client.get("/api/watch/state", params=run).json()["progress"]["step"] == 9
    log = client.get("/api/watch/log", params={**run, "only": "warning"}).json()
    assert [line["text"] for line in log["lines"]] == ["WARNING: two"] and log["found"] == 1
    assert client.get("/api/watch/log/file", params=run).text == "one\nWARNING: two\n第三\n"


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("curves?run=none", 400, "no run has this name"),
        ("curves?run=../..", 400, "no name of a run"),
        ("curves?run=x&axis=hours", 422, "axis"),
        ("curves?run=x&points=1000000", 422, "points"),
        ("state?run=none", 400, "no run has this name"),
        ("log/file?run=none", 400, "no run has this name"),
        ("samples?run=组/my run&evaluator=x", 400, "train with evaluator="),
        ("samples?run=组/my run&evaluator=x&steps=a", 422, "steps"),
    ],
)
def test_what_cannot_be_told_says_why(client: TestClient, path: str, status: int, said: str) -> None:
    answer = client.get(f"/api/watch/{path}")
    assert answer.status_code == status and said in answer.json()["error"]["message"]
