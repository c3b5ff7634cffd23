"""The interface of chat over real HTTP, with a program that stands for `tunesmith api`."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2 as httpx
import pytest
import uvicorn
from pretending_tunesmith import PROGRAM
from tunesmith_command_webui.app import make_app
from tunesmith_command_webui.options import Options
from tunesmith_library_studio import Studio, Workspace
from tunesmith_library_studio.chats import Chats


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    made = Studio(Workspace(Path("runs"), tmp_path))
    made.chats = Chats(made.workspace, program=PROGRAM)
    yield made
    made.close()


@pytest.fixture
def client(studio: Studio, tmp_path: Path) -> Iterator[httpx.Client]:
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(make_app(studio, Options(root=tmp_path)), log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{listening.getsockname()[1]}/api"
    with httpx.Client(base_url=address, headers={"X-Tunesmith": "1"}, timeout=20) as made:
        yield made
    server.should_exit = True
    thread.join(10)


def soon(so: Callable[[], bool], seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not so():
        assert time.monotonic() < until, "it did not come to be so"
        time.sleep(0.02)


def question(text: str) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": text}], "stream": True}


def test_a_model_is_loaded_asked_and_unloaded(client: httpx.Client, studio: Studio) -> None:
    made = client.post("/chats/models", json={"source": "good", "overrides": {"engine": "vllm"}})
    assert made.status_code == 202 and made.json()["state"] == "planning"
    id = made.json()["id"]
    studio.chats.wait(id, 10)
    (listed,) = client.get("/chats/models").json()["items"]
    assert listed["state"] == "ready" and listed["can"]["tools"] and "key" not in listed
    with client.stream("POST", f"/chats/{id}/messages", json=question("short")) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in answer.iter_lines() if line]
    assert len(lines) == 4 and lines[-1] == "data: [DONE]"
    refused = client.post(f"/chats/{id}/messages", json=question("refuse"))
    assert refused.status_code == 400 and refused.json()["error"]["message"] == "messages are refused"
    assert "serving: good" in client.get(f"/chats/models/{id}/log").text
    assert client.delete(f"/chats/models/{id}").status_code == 204
    gone = client.post(f"/chats/{id}/messages", json=question("short"))
    assert gone.status_code == 400 and "load it again" in gone.json()["error"]["message"]
    wrong = client.post("/chats/models", json={"source": "/etc/passwd"})
    assert wrong.status_code == 400 and "outside of the workspace" in wrong.json()["error"]["message"]


def test_who_hangs_up_ends_the_answer(client: httpx.Client, studio: Studio) -> None:
    """It comes as it is written, not when it is whole; and what nobody reads is written no further."""
    id = studio.chats.load("good").id
    studio.chats.wait(id, 10)
    begun = time.monotonic()
    with client.stream("POST", f"/chats/{id}/messages", json=question("long")) as answer:
        lines = answer.iter_lines()
        assert next(lines).startswith("data: ") and studio.chats.get(id).answering == 1
    assert time.monotonic() - begun < 10, "a thousand words take fifty seconds"
    soon(lambda: "hung up" in studio.chats.served(id).log.read_text())
    soon(lambda: studio.chats.get(id).answering == 0)


def test_conversations_over_http(client: httpx.Client) -> None:
    nodes = [{"id": "a", "parent": None, "role": "user", "content": "Whale?"}]
    made = client.post("/chats/conversations", json={"nodes": nodes, "leaf": "a", "leaves": ["a", None]}).json()
    assert client.get("/chats/conversations", params={"search": "whale"}).json()["total"] == 1
    whole = client.get(f"/chats/conversations/{made['id']}").json()
    assert whole["leaves"] == ["a", None] and whole["nodes"] == nodes
    assert client.get(f"/chats/conversations/{made['id']}/markdown").text.startswith("# Whale?")
    assert client.post("/chats/conversations", json=whole).json()["revision"] == 2
    conflict = client.post("/chats/conversations", json=whole)
    assert conflict.status_code == 409 and "another window" in conflict.json()["error"]["message"]
    assert client.delete(f"/chats/conversations/{made['id']}").status_code == 204


def test_media_votes_and_rows_over_http(client: httpx.Client, studio: Studio) -> None:
    kept = client.post("/chats/media", content=b"\x89PNG", headers={"content-type": "image/png"})
    name = kept.json()["address"].removeprefix("media:")
    shown = client.get(f"/chats/media/{name}")
    assert shown.content == b"\x89PNG" and shown.headers["content-type"] == "image/png"
    refused = client.post("/chats/media", content=b"<svg/>", headers={"content-type": "image/svg+xml"})
    assert refused.status_code == 400 and "image/png" in refused.json()["error"]["message"]
    vote = {"left": "x", "right": "y", "winner": "right", "blind": True, "answers": ["a", "b"]}
    assert client.post("/chats/votes", json=vote).json()["winner"] == "right"
    assert client.get("/chats/votes").json()["items"][0]["losses"] == 1
    assert client.post("/chats/votes", json={**vote, "winner": "x"}).status_code == 422
    messages = [{"role": "user", "content": "Whale?"}, {"role": "assistant", "content": "Tide."}]
    for rows in (1, 2):
        saved = client.post("/chats/rows", json={"file": "data/chat.jsonl", "messages": messages, "good": True})
        assert saved.json()["rows"] == rows
    lines = (studio.workspace.root / "data" / "chat.jsonl").read_text().splitlines()
    assert json.loads(lines[1]) == {"messages": messages, "label": True}
    outside = client.post("/chats/rows", json={"file": "../chat.jsonl", "messages": messages})
    assert outside.status_code == 400 and "outside" in outside.json()["error"]["message"]
