"""The interface of data sets and prompts: rows, notes at once, uploads, media, prompts."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tunesmith_command_webui.app import make_app
from tunesmith_command_webui.options import Options
from tunesmith_library_studio import Studio, Workspace

ROWS = [{"instruction": f"Ask {n}", "input": "", "output": f"Answer {n}"} for n in range(1, 31)]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    (tmp_path / "a.json").write_text(json.dumps(ROWS))
    studio = Studio(Workspace(Path("runs"), tmp_path))
    app = make_app(studio, Options(max_upload_bytes=1000))
    with TestClient(app, headers={"X-Tunesmith": "1"}, base_url="http://127.0.0.1") as made:
        yield made
    studio.close()


def test_sets_and_their_rows_are_listed(client: TestClient) -> None:
    (one,) = [each for each in client.get("/api/data?search=a.json").json()["items"] if each["kind"] == "file"]
    assert (one["format"], one["rows"], one["columns"]) == ("alpaca", 30, ["instruction", "input", "output"])
    page = client.get("/api/data/rows", params={"data": "a.json", "offset": 20, "limit": 20}).json()
    assert [item["row"] for item in page["items"]] == list(range(21, 31)) and page["next"] is None
    found = client.get("/api/data/rows", params={"data": "a.json", "search": "answer 30"}).json()
    assert found["items"][0]["record"] == ROWS[29]
    assert client.get("/api/data/about?data=a.json").json()["versions"][0]["file"] == "a.json"
    assert {one["name"] for one in client.get("/api/data/formats").json()["items"]} >= {"alpaca", "openai"}


@pytest.mark.parametrize("path", ["../b.jsonl", "/etc/passwd.txt", "missing.jsonl"])
def test_sets_that_are_not_there_are_refused_in_words(client: TestClient, path: str) -> None:
    response = client.get("/api/data/rows", params={"data": path})
    assert response.status_code == 400 and path in response.json()["error"]["message"]


def test_a_row_is_edited_as_a_conversation_and_saved(client: TestClient, tmp_path: Path) -> None:
    item = client.get("/api/data/rows?data=a.json&limit=1").json()["items"][0]
    content = item["content"]
    content["messages"][1]["content"] = "Better"
    note = {"data": "a.json", "row": 1, "author": "ann", "action": "edit", "content": content, "revision": 0}
    edited = client.post("/api/data/notes", json=note).json()["item"]
    assert edited["record"]["output"] == "Better" and edited["original"] == ROWS[0]
    late = client.post("/api/data/notes", json={**note, "author": "bob"})
    assert late.status_code == 409 and "changed by ann" in late.json()["error"]["message"]
    made = client.post("/api/data/versions", json={"data": "a.json", "author": "ann", "what": "edits"}).json()
    lines = (tmp_path / made["path"]).read_text().splitlines()
    assert json.loads(lines[0])["output"] == "Better" and json.loads(lines[1]) == ROWS[1] and len(lines) == 30
    told = client.get("/api/data/differences", params={"before": "a.json", "after": made["path"]}).json()
    assert told["counts"] == {"changed": 1, "removed": 0, "added": 0}
    undone = client.post("/api/data/notes/undo", json={"data": "a.json", "author": "ann"}).json()
    assert undone["undone"]["row"] == 1
    assert len(client.get("/api/data/history?data=a.json&row=1").json()["items"]) == 2


def test_judgements_are_counted(client: TestClient) -> None:
    for author, value in (("ann", True), ("bob", False)):
        note = {"data": "a.json", "row": 2, "author": author, "action": "label", "value": value}
        assert client.post("/api/data/notes", json=note).status_code == 200
    told = client.get("/api/data/notes?data=a.json").json()
    assert (
        told["judged"] == 1 and told["by_author"] == {"ann": 1, "bob": 1} and told["agreement"]["label"]["share"] == 0
    )
    for value in (7, "x"):
        note = {"data": "a.json", "row": 2, "author": "ann", "action": "rate", "value": value}
        assert client.post("/api/data/notes", json=note).status_code == 400


def test_a_file_comes_in_pieces(client: TestClient, tmp_path: Path) -> None:
    content = b'{"text": "one"}\n{"text": "two"}\n'
    begun = client.post("/api/data/uploads", json={"name": "u.jsonl", "size": len(content)}).json()["id"]
    assert client.put(f"/api/data/uploads/{begun}?offset=0", content=content[:10]).json() == {"offset": 10}
    assert client.put(f"/api/data/uploads/{begun}?offset=0", content=content).status_code == 400
    assert client.post(f"/api/data/uploads/{begun}/finish").status_code == 400
    assert client.get(f"/api/data/uploads/{begun}").json() == {"offset": 10}
    assert client.put(f"/api/data/uploads/{begun}?offset=10", content=content[10:]).json() == {"offset": len(content)}
    assert client.post(f"/api/data/uploads/{begun}/finish").json() == {
        "path": "data/u.jsonl",
        "format": "text",
        "rows": 2,
    }
    for name, size in (("big.jsonl", 1001), ("../u.jsonl", 5), ("u.py", 5), ("鲸" * 67 + ".csv", 5), ("e.jsonl", 0)):
        assert client.post("/api/data/uploads", json={"name": name, "size": size}).status_code == 400
    pasted = client.post("/api/data/paste", json={"name": "u.jsonl", "text": '{"text": "drei"}'}).json()
    assert pasted["path"] == "data/u-2.jsonl"
    assert client.get("/api/data/download?data=data/u.jsonl").content == content
    made = client.post("/api/data/paste", json={"name": "list.json", "text": '[{"text": "eins"}]'}).json()
    assert made == {"path": "data/list.json", "format": "text", "rows": 1}
    for packed in (gzip.compress(b" " * 2000), gzip.compress(b"{}")[:-5]):
        begun = client.post("/api/data/uploads", json={"name": "p.jsonl.gz", "size": len(packed)}).json()["id"]
        client.put(f"/api/data/uploads/{begun}?offset=0", content=packed)
        refused = client.post(f"/api/data/uploads/{begun}/finish")
        assert refused.status_code == 400 and "p.jsonl.gz" in refused.json()["error"]["message"]
    wrong = client.post("/api/data/paste", json={"name": "bad.jsonl", "text": "no JSON"}).json()["error"]["message"]
    assert "no record can be read" in wrong and ".studio" not in wrong


def test_half_a_pair_of_utf16_is_an_escape(client: TestClient, tmp_path: Path) -> None:
    (tmp_path / "half.jsonl").write_text('{"text": "\\ud800"}\n{"text": "whole"}\n')
    items = client.get("/api/data/rows?data=half.jsonl").json()["items"]
    assert [item["record"]["text"] for item in items] == ["\ud800", "whole"]


def test_only_media_are_sent_and_they_can_run_nothing(client: TestClient, tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(b"png")
    (tmp_path / "p.svg").write_text("<svg/>")
    response = client.get("/api/data/media?path=p.png&data=a.json")
    assert response.headers["content-type"] == "image/png" and response.headers["x-content-type-options"] == "nosniff"
    assert client.get("/api/data/media?path=p.svg").status_code == 404
    assert client.get("/api/data/media?path=a.json").status_code == 404
    assert client.get("/api/data/media?path=../p.png").status_code == 400


def test_entries_are_tried_before_they_are_saved(client: TestClient, tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text('{"frage": "Wer?", "antwort": "Ich."}\n')
    entry = {"name": "mine", "options": {"path": "q.jsonl", "format": "alpaca"}}
    tried = client.post("/api/data/entries/try", json=entry).json()
    assert tried["columns"] == ["frage", "antwort"] and "instruction" in tried["items"][0]["fault"]
    entry["options"]["columns"] = {"instruction": "frage", "output": "antwort"}
    tried = client.post("/api/data/entries/try", json=entry).json()
    assert tried["items"][0]["content"]["messages"][1]["content"] == "Ich."
    assert client.put("/api/data/entries", json=entry).json() == {"file": "conf/datasets.yaml"}
    assert client.get("/api/data/rows?data=mine").json()["items"][0]["content"]
    (listed,) = client.get("/api/data?search=mine").json()["items"]
    assert listed["editable"] and listed["path"] == "q.jsonl" and listed["options"]["columns"]["output"] == "antwort"
    assert client.delete("/api/data/entries?name=mine").status_code == 204
    assert client.delete("/api/data/entries?name=mine").status_code == 400


def test_prompts_are_kept_in_the_workspace(client: TestClient, tmp_path: Path) -> None:
    prompt = {"name": "a/b {c}", "text": "About {{topic}}", "tags": ["x"]}
    assert client.post("/api/prompts", json=prompt).status_code == 201
    assert (
        client.patch("/api/prompts/a%2Fb%20%7Bc%7D", json={"text": "On {{topic}}"}).json()["versions"][0]["text"]
        == "About {{topic}}"
    )
    (one,) = client.get("/api/prompts?search=topic&tag=x").json()["items"]
    assert one["variables"] == ["topic"] and client.get("/api/prompts/a%2Fb%20%7Bc%7D").json() == one
    assert client.post("/api/prompts/import", json={"prompts": [one]}).json() == {"added": 0, "changed": 0, "same": 1}
    assert client.delete("/api/prompts/a%2Fb%20%7Bc%7D").status_code == 204
    assert client.get("/api/prompts").json()["total"] == 0
