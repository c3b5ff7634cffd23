"""Models that are loaded: from the plan to the end, with a program that stands for `tunesmith`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pretending_tunesmith import PROGRAM
from tunesmith import TunesmithError
from tunesmith_library_studio.chats import Chats
from tunesmith_library_studio.chats.naming import arguments_of
from tunesmith_library_studio.chats.served import cause_in
from tunesmith_library_studio.workspace import OutsideWorkspace, Workspace


@pytest.fixture
def chats(tmp_path: Path) -> Iterator[Chats]:
    made = Chats(Workspace(Path("runs"), tmp_path), program=PROGRAM)
    yield made
    made.close()


def soon(so: Callable[[], bool], seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while not so():
        assert time.monotonic() < until, "it did not come to be so"
        time.sleep(0.02)


def streamed(chats: Chats, id: str, asked: str, most: int = 100) -> list[tuple[int, str, bytes]]:
    """What an answer gives; the reader leaves after so many pieces."""
    body = json.dumps({"messages": [{"role": "user", "content": asked}], "stream": True}).encode()

    async def read() -> list[tuple[int, str, bytes]]:
        found = []
        async with contextlib.aclosing(chats.ask(id, body)) as coming:  # type: ignore[type-var]
            async for piece in coming:
                found.append(piece)
                if len(found) == most:
                    break
        return found

    return asyncio.run(read())


def test_a_model_is_planned_loaded_asked_and_let_go(chats: Chats) -> None:
    watcher = chats.watcher()
    made = chats.load("good")
    ready = chats.wait(made.id, 10)
    assert (ready.state, ready.name, ready.context_length, ready.memory) == ("ready", "good", 2048, 1e9)
    assert ready.can["media"] == ["image"] and ready.adapters == ("base",)
    assert watcher.changes()[0].data[0]["state"] == "ready" and watcher.changes() == []
    assert chats.answer(made.id, [{"role": "user", "content": "hi"}], temperature=0) == '"hi"'
    with pytest.raises(TunesmithError, match="messages are refused"):
        chats.answer(made.id, [{"role": "user", "content": "refuse"}])
    image = chats.media.keep(b"\x89PNG", "image/png")
    shown = chats.answer(made.id, [{"role": "user", "content": image}])
    assert shown == f'"{image}"', "the plain way passes messages as they are"
    (status, kind, first), *_ = streamed(chats, made.id, image)
    assert (status, kind, first) == (200, "text/event-stream", b"")
    chats.unload(made.id)
    assert chats.list() == [] and not list((chats.workspace.state / "chats").iterdir())


def test_a_stream_comes_piece_by_piece_and_ends_when_its_reader_leaves(chats: Chats) -> None:
    made = chats.load("good")
    chats.wait(made.id, 10)
    pieces = streamed(chats, made.id, "short")
    assert len(pieces) >= 4 and b"".join(piece for *_, piece in pieces).endswith(b"[DONE]\n\n")
    begun = time.monotonic()
    assert len(streamed(chats, made.id, "long", most=3)) == 3
    assert time.monotonic() - begun < 5, "a thousand words take fifty seconds"
    soon(lambda: "hung up" in chats.served(made.id).log.read_text())
    assert chats.get(made.id).answering == 0
    status, _, piece = streamed(chats, made.id, "refuse")[-1]
    assert status == 400 and json.loads(piece)["error"]["message"] == "messages are refused"


def test_a_server_that_dies_in_an_answer_is_told_of(chats: Chats) -> None:
    made = chats.load("good")
    chats.wait(made.id, 10)
    *_, (_, _, last) = streamed(chats, made.id, "die")
    assert "ended in the midst" in json.loads(last.strip().removeprefix(b"data: "))["error"]["message"]
    soon(lambda: chats.get(made.id).state == "failed")
    assert "code 3" in chats.get(made.id).why
    with pytest.raises(TunesmithError, match="not ready: failed"):
        chats.answer(made.id, [])


@pytest.mark.parametrize(
    ("source", "why"), [("wrong", "did you mean strong"), ("big", "too big\n  load it"), ("dies", "CUDA out of memory")]
)
def test_why_a_model_is_not_loaded(chats: Chats, source: str, why: str) -> None:
    failed = chats.wait(chats.load(source).id, 10)
    assert failed.state == "failed" and why in failed.why
    if source == "big":
        assert chats.wait(chats.load(source, anyway=True).id, 10).state == "ready"


def test_as_many_as_may_be(chats: Chats) -> None:
    slow, good = chats.load("slow"), chats.load("good")
    with pytest.raises(TunesmithError, match="slow, good"):
        chats.load("another")
    soon(lambda: "3 of 9" in chats.get(slow.id).last_line)
    begun = time.monotonic()
    chats.unload(slow.id)
    assert time.monotonic() - begun < 4, "what is being loaded is let go at once"
    assert chats.load("another").state == "planning"
    assert chats.find(" good") == chats.get(good.id) and chats.find("slow") is None
    assert chats.list()[0].id == good.id


def test_nobody_asks(tmp_path: Path) -> None:
    chats = Chats(Workspace(Path("runs"), tmp_path), program=PROGRAM, idle=0.3)
    made = chats.load("good")
    assert chats.wait(made.id, 10).state == "ready"
    soon(lambda: chats.get(made.id).state == "unloaded")
    assert "nobody asked" in chats.get(made.id).why


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere a process does not end with its parent")
def test_a_killed_front_end_leaves_no_model_behind(tmp_path: Path) -> None:
    code = f"""
import time
from pathlib import Path
from tunesmith_library_studio.chats import Chats
from tunesmith_library_studio.workspace import Workspace
chats = Chats(Workspace(Path("runs"), Path({str(tmp_path)!r})), program={PROGRAM!r})
made = chats.load("good")
assert chats.wait(made.id, 10).state == "ready"
print(chats.served(made.id).url, flush=True)
time.sleep(60)
"""
    front_end = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert front_end.stdout
    port = int(front_end.stdout.readline().rpartition(":")[2])
    children = Path(f"/proc/{front_end.pid}/task").glob("*/children")
    (server,) = [int(pid) for file in children for pid in file.read_text().split()]
    front_end.kill()
    front_end.wait()
    front_end.stdout.close()
    soon(lambda: not Path(f"/proc/{server}").exists() or "Z" in Path(f"/proc/{server}/stat").read_text().split()[2])
    assert port > 0


def test_what_models_are_called(tmp_path: Path) -> None:
    workspace = Workspace(Path("runs"), tmp_path)
    (tmp_path / "runs" / "mine" / "checkpoint-5").mkdir(parents=True)
    (tmp_path / "models" / "tiny").mkdir(parents=True)
    (tmp_path / "away").symlink_to("/")
    assert arguments_of(workspace, "mine", {}) == [str(tmp_path / "runs" / "mine")]
    assert arguments_of(workspace, "runs/mine/checkpoint-5", {})[0].endswith("mine/checkpoint-5")
    assert arguments_of(workspace, "models/tiny", {"engine": "vllm", "engine.batch_size": 4, "x": None}) == [
        str(tmp_path / "models" / "tiny"), "engine=vllm", "engine.batch_size=4", "x=null"
    ]  # fmt: skip
    assert arguments_of(workspace, "Qwen/Qwen3-4B", {}) == ["model.path=Qwen/Qwen3-4B"]
    with pytest.raises(TunesmithError, match=r"runs/mien: no such run\.\n.*did you mean mine\?"):
        arguments_of(workspace, "runs/mien", {})
    for source in ("/etc", "../secret", "away/etc", "~/models"):
        with pytest.raises(OutsideWorkspace):
            arguments_of(workspace, source, {})
    with pytest.raises(OutsideWorkspace):
        arguments_of(workspace, "mine", {"adapter.path": ["/etc/adapter"]})
    for source in ("", "--host", "a=b", "a b"):
        with pytest.raises(TunesmithError, match="names no model"):
            arguments_of(workspace, source, {})
    with pytest.raises(TunesmithError, match="no key"):
        arguments_of(workspace, "mine", {"--port": 1})


def test_the_cause_in_a_log() -> None:
    assert cause_in("a line\nerror: it is full\n  free some") == "it is full\n  free some"
    assert cause_in("Traceback\nValueError: error: x\nTraceback (most recent)\nKeyError: 1").endswith("KeyError: 1")


def test_a_device_is_a_name(chats: Chats) -> None:
    with pytest.raises(TunesmithError, match="no device"):
        chats.load("good", device="0;rm")
    assert os.environ.get("TUNESMITH_API_KEY") is None, "the key is the process's own"
