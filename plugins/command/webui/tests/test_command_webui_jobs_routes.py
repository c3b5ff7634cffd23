"""The routes of jobs and devices."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tunesmith_command_webui.app import make_app
from tunesmith_command_webui.options import Options
from tunesmith_library_studio import Studio, Workspace


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    studio = Studio(Workspace(Path("runs"), tmp_path))
    yield TestClient(make_app(studio, Options()), base_url="http://127.0.0.1", headers={"X-Tunesmith": "1"})
    studio.close()


def test_a_job_from_its_start_to_its_removal(client: TestClient) -> None:
    wanted = {"command": ["train", "none.yaml"], "devices": ["none"], "tag": "a", "run": "group/a"}
    made = client.post("/api/jobs", json=wanted)
    assert made.status_code == 201 and made.json()["title"] == "train none.yaml"
    id = made.json()["id"]
    deadline = time.monotonic() + 30
    while not (job := client.get(f"/api/jobs/{id}").json())["ended"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (job["state"], job["code"], job["run"]) == ("failed", 2, "group/a")
    log = client.get(f"/api/jobs/{id}/log").json()
    assert "no such file" in log["text"] and log["offset"] == log["size"]
    listed = client.get("/api/jobs", params={"tag": "a", "state": "failed"}).json()
    assert listed["total"] == 1 and client.get("/api/jobs", params={"run": "b"}).json()["total"] == 0
    assert client.post(f"/api/jobs/{id}/move", json={}).status_code == 400
    assert client.delete(f"/api/jobs/{id}").status_code == 204
    assert client.get(f"/api/jobs/{id}").status_code == 404
    assert id in client.get(f"/api/jobs/{id}").json()["error"]["message"]


def test_what_a_client_may_not_start(client: TestClient) -> None:
    outside = [["train", "/etc/x.yaml"], ["export", "a", "--output", "../../x"], ["export", "a", "-o/tmp/x"]]
    for command in (["api", "runs/a"], [], *outside):
        answer = client.post("/api/jobs", json={"command": command})
        assert answer.status_code == 400 and answer.json()["error"]["message"]
    for run in ("../../x", "", ".hidden"):
        answer = client.post("/api/jobs", json={"command": ["train", "a.yaml"], "run": run})
        assert answer.status_code in (400, 404) and "no name of a run" in answer.json()["error"]["message"]
    assert client.get("/api/jobs").json()["total"] == 0
    broken = client.post("/api/jobs", content=b'{"command": [', headers={"content-type": "application/json"})
    assert broken.status_code == 422 and "the body is no JSON" in broken.json()["error"]["message"]
    assert client.post("/api/jobs/resume", json={"run": "../.."}).status_code == 400


def test_rules_and_devices(client: TestClient) -> None:
    assert client.patch("/api/jobs/rules", json={"cpu_jobs": 3}).json() == {"cpu_jobs": 3, "paused": False}
    assert client.patch("/api/jobs/rules", json={"cpu_jobs": 0}).status_code == 422
    assert client.get("/api/jobs").json()["rules"]["cpu_jobs"] == 3
    devices = client.get("/api/devices").json()["items"]
    assert devices[-1]["id"] == "cpu" and devices[-1]["memory"] > devices[-1]["used"] > 0
    assert client.post("/api/jobs/clear").json() == {"removed": 0}
