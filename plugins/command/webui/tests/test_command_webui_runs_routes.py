"""The interface of runs and evaluations, as a client uses it."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tunesmith_command_webui.app import make_app
from tunesmith_command_webui.options import Options
from tunesmith_library_studio import Studio, Workspace


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    for name in ("一 run", "group/b"):
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        (folder / "run.yaml").write_text(
            "stage: {name: sft}\nmodel: {path: org/model}\ntrainer: {learning_rate: 0.5}\n"
        )
        (folder / "metrics.jsonl").write_text('{"event": "step", "step": 1, "loss": 2.0}\n')
        (folder / "adapter_model.safetensors").write_bytes(b"x")
        (folder / "adapter_config.json").write_text("{}")
    app = make_app(Studio(Workspace(Path("runs"), tmp_path)), Options())
    return TestClient(app, headers={"X-Tunesmith": "1"}, base_url="http://127.0.0.1")


def test_runs_are_listed_noted_about_and_renamed(client: TestClient) -> None:
    page = client.get(
        "/api/runs", params={"sort": "name", "descending": False, "column": ["trainer.learning_rate"]}
    ).json()
    assert [(row["name"], row["values"]) for row in page["items"]] == [
        ("group/b", {"trainer.learning_rate": 0.5}),
        ("一 run", {"trainer.learning_rate": 0.5}),
    ]
    assert "trainer.learning_rate" in client.get("/api/run-columns").json()["items"]
    assert client.patch("/api/runs/group/b", json={"tags": ["x"], "notes": "n"}).json()["tags"] == ["x"]
    assert client.patch("/api/runs/group%2Fb", json={"name": "c"}).json()["notes"] == "n"
    assert client.get("/api/runs/c").json()["yaml"].startswith("stage")
    told = client.get("/api/runs/nothing")
    assert told.status_code == 400
    assert "no run has this name" in told.json()["error"]["message"]


def test_a_run_that_others_name_is_deleted_when_it_is_said_again(client: TestClient, tmp_path: Path) -> None:
    (tmp_path / "runs" / "一 run" / "run.yaml").write_text("model: {path: runs/group/b}\n")
    refused = client.delete("/api/runs/group/b")
    assert refused.status_code == 409 and "一 run: model.path" in refused.json()["error"]["message"]
    assert client.delete("/api/runs/group/b", params={"anyway": True}).status_code == 200
    assert client.delete("/api/runs/group/b").status_code == 400


def test_files_are_shown_and_downloaded(client: TestClient) -> None:
    asked = {"run": "一 run", "path": "run.yaml"}
    assert client.get("/api/run-files", params=asked).json()["text"].startswith("stage")
    response = client.get("/api/run-files/download", params=asked)
    assert response.headers["content-disposition"].startswith("attachment")
    assert client.get("/api/run-files/picture", params=asked).status_code == 415
    for path in ("../group/b/run.yaml", "/etc/passwd", "nothing"):
        assert client.get("/api/run-files", params={**asked, "path": path}).status_code == 400


def test_runs_are_compared_and_the_table_is_kept(client: TestClient) -> None:
    compared = client.post("/api/runs/compare", json={"names": ["一 run", "group/b"]}).json()
    assert [run["figures"]["loss"] for run in compared["runs"]] == [2.0, 2.0]
    assert compared["differences"] == []
    text = client.get("/api/run-comparison", params={"run": ["一 run", "group/b"], "format": "csv"})
    assert text.text.splitlines()[0] == ",一 run,group/b"


def test_deleted_runs_come_back(client: TestClient) -> None:
    identity = client.delete("/api/runs/group/b").json()["id"]
    assert client.get("/api/runs").json()["total"] == 1
    assert client.get("/api/trash").json()["items"][0]["name"] == "group/b"
    assert client.post("/api/trash/restore", json={"id": identity}).json()["name"] == "group/b"
    assert client.delete("/api/trash").json() == {"freed": 0}


def test_evaluations_of_nothing(client: TestClient) -> None:
    assert client.get("/api/evaluations").json() == {"items": [], "total": 0}
    assert client.get("/api/predictions").json() == {"items": [], "total": 0}
    refused = client.post("/api/evaluations", json={"model": "/etc", "evaluators": {"perplexity": {}}})
    assert "outside of the workspace" in refused.json()["error"]["message"]
