"""The interface of models and exports, as a client uses it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tunesmith_command_webui.app import make_app
from tunesmith_command_webui.options import Options
from tunesmith_library_studio import Studio, Workspace


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    folder = tmp_path / "runs" / "qwen3-merged"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"architectures": ["LlamaForCausalLM"], "max_position_embeddings": 64}')
    (folder / "export_report.json").write_text(json.dumps({"format": "merged", "program": "transformers 5"}))
    studio = Studio(Workspace(Path("runs"), tmp_path))
    yield TestClient(make_app(studio, Options()), headers={"X-Tunesmith": "1"}, base_url="http://127.0.0.1")
    studio.close()


def test_models_are_listed_and_described(client: TestClient) -> None:
    (item,) = client.get("/api/models", params={"kind": "export", "search": "QWEN"}).json()["items"]
    assert (item["address"], item["context"]) == ("runs/qwen3-merged", 64)
    assert client.get("/api/models/described", params={"address": "runs/qwen3-merged"}).json()["kind"] == "export"
    told = client.get("/api/models/described", params={"address": "/etc"})
    assert told.status_code == 400 and "outside of the workspace" in told.json()["error"]["message"]
    assert client.get("/api/models", params={"kind": "colour"}).status_code == 422


def test_exports_are_listed_and_described(client: TestClient) -> None:
    (item,) = client.get("/api/exports").json()["items"]
    assert item["format"] == "merged" and item["made"] > 1e9
    (told,) = client.get("/api/exports/described", params={"path": item["path"]}).json()["items"]
    assert told["program"] == "transformers 5" and [step["what"] for step in told["next"]] == ["upload"]
    assert client.get("/api/exports/described", params={"path": "../.."}).status_code == 400


@pytest.mark.parametrize("path", ["/api/exports", "/api/exports/plan"])
def test_what_cannot_be_exported_starts_nothing(client: TestClient, path: str) -> None:
    for wrong in ({"source": "../x", "exporters": {"merged": {}}}, {"source": "x", "exporters": {"evil.py:Run": {}}}):
        response = client.post(path, json=wrong)
        assert response.status_code == 400 and response.json()["error"]["message"]
    assert client.post(path, json={"source": "x"}).status_code == 422
