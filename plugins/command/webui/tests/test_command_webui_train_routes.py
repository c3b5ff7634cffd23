"""The interface of configurations: forms, drafts, plans, sweeps, and what is refused before anything starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tunesmith_command_webui.app import make_app
from tunesmith_command_webui.options import Options
from tunesmith_library_studio import Studio, Workspace


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """A client of a workspace in which few plugins are shown, so that all of them are imported at once."""
    monkeypatch.setenv(
        "TUNESMITH_PLUGINS", "model.transformers,template.auto,stage.sft,adapter.lora,trainer.transformers"
    )
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "mine.yaml").write_text("# My recipe.\nadapter: {name: lora, rank: 3}\n")
    studio = Studio(Workspace(Path("runs"), tmp_path))
    with TestClient(make_app(studio, Options()), "http://127.0.0.1", headers={"X-Tunesmith": "1"}) as made:
        yield made
    studio.close()


def test_the_interface_of_configurations(client: TestClient, tmp_path: Path) -> None:
    """From a recipe to what is refused; one test, for each process that imports plugins takes its time."""
    form = client.get("/api/schema")
    (adapter,) = [kind for kind in form.json()["kinds"] if kind["name"] == "adapter"]
    assert [plugin["name"] for plugin in adapter["plugins"]] == ["lora"] and adapter["default"] == ["lora"]
    assert client.get("/api/schema", headers={"If-None-Match": form.headers["ETag"]}).status_code == 304

    assert {"name": "conf/mine.yaml", "title": "My recipe."} in client.get("/api/recipes").json()["items"]
    draft = client.post("/api/compose", json={"source": "conf/mine.yaml"}).json()
    assert draft["values"] == {"adapter": {"name": "lora", "rank": 3}}
    assert draft["command"] == "tunesmith train adapter=lora adapter.rank=3"
    changed = client.post("/api/compose", json={"values": draft["values"], "overrides": ["adapter.rank=0"]}).json()
    assert changed["values"]["adapter"]["rank"] == 0
    wrong = client.post("/api/compose", json={"values": changed["values"]}).json()
    (problem,) = [problem for problem in wrong["problems"] if problem["key"] == "adapter.rank"]
    assert "cannot be 0" in problem["message"] and problem["line"] == 3
    chinese = {"Accept-Language": "zh-CN,en;q=0.5"}
    wrong = client.post("/api/compose", json={"values": changed["values"]}, headers=chinese).json()
    (told,) = [each for each in wrong["problems"] if each["key"] == "adapter.rank"]
    assert told["message"] == "adapter.rank 不能是 0。" and told["fixes"] == problem["fixes"]
    refused = client.post("/api/compose", json={"command": "train a.yaml b.yaml"}, headers=chinese)
    assert "只能有一个配置" in refused.json()["error"]["message"]
    assert client.post("/api/plan", json={"values": draft["values"]}).json() == {"wrong": True}
    line = "$ tunesmith train conf/mine.yaml \\\n  adapter.dropout=0.1 --adapter.rank 8"
    assert client.post("/api/compose", json={"command": line}).json()["values"]["adapter"] == {
        "name": "lora",
        "rank": 8,
        "dropout": 0.1,
    }
    assert client.post("/api/compose", json={"command": draft["command"]}).json()["values"] == draft["values"]
    for line, cause in (("train a.yaml b.yaml", "got 2"), ("train 'x", "no command line"), ("train ../x", "outside")):
        refused = client.post("/api/compose", json={"command": line})
        assert refused.status_code == 400 and cause in refused.json()["error"]["message"], refused.text

    refused = client.post("/api/train", json={"values": draft["values"], "name": "a"})
    assert refused.status_code == 400 and "model" in refused.json()["error"]["message"]
    assert not (tmp_path / "runs" / "a").exists() and client.get("/api/jobs").json()["total"] == 0
    for name in ("../../a", ".studio/a"):
        outside = client.post("/api/train", json={"values": {}, "name": name})
        assert outside.status_code == 400 and "no name of a run" in outside.json()["error"]["message"]
    outside = client.post("/api/compose", json={"source": "/etc/passwd"})
    assert outside.status_code == 400 and "outside of the workspace" in outside.json()["error"]["message"]

    axes = [{"key": "adapter.rank", "values": [4, 8]}, {"key": "seed", "values": [1]}]
    rows = client.post("/api/sweep", json={"axes": axes}).json()
    assert rows == {"items": [["adapter.rank=4", "seed=1"], ["adapter.rank=8", "seed=1"]], "total": 2}
    assert client.post("/api/sweep", json={"axes": axes, "grid": False}).status_code == 400
