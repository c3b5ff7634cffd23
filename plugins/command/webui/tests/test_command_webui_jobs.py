"""A run that the page has started goes on whatever becomes of the server, and is found again; the queue as a page."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tunesmith_library_testing.tiny import save_tiny_model

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

STEPS = 40


def ask(url: str, path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"{url}/api/{path}", data, {"X-Tunesmith": "1", "Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.loads(response.read())


def until(what: Callable[[], Any], seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.1)
    return found


def configured(root: Path) -> dict[str, Any]:
    """A tiny model and its data in a folder, and how it is trained."""
    save_tiny_model(root / "tiny")
    rows = [{"instruction": f"Count {n}", "output": "one " * (1 + n % 5)} for n in range(32)]
    (root / "train.json").write_text(json.dumps(rows))
    options = {"max_steps": STEPS, "per_device_train_batch_size": 4, "learning_rate": 1e-3, "logging_steps": 1}
    return {
        "model": {"path": "tiny"},
        "template": "chatml",
        "data": {"train": [{"path": "train.json", "format": "alpaca"}], "cache": False},
        "adapter": {"name": "lora", "rank": 4},
        "precision": "fp32",
        "tracker": {"jsonl": {}},
        "trainer": {**options, "save_steps": 10, "save_total_limit": 1},
    }


def weights(folder: Path) -> str:
    return hashlib.sha256((folder / "adapter_model.safetensors").read_bytes()).hexdigest()


def losses(folder: Path) -> list[tuple[int, float]]:
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(record["step"], record["loss"]) for record in records if "loss" in record]


def test_killing_the_server_leaves_a_run_alone(
    serve: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One run ends as if there had been no server; another one, stopped and resumed by the next server, does, too."""
    import tunesmith

    config = configured(tmp_path)
    (tmp_path / "conf.yaml").write_text(yaml.safe_dump(config))
    first = serve(tmp_path)
    jobs = {}
    for name in ("left", "stopped"):
        command = ["train", "conf.yaml", f"output_dir=runs/{name}"]
        wanted = {"command": command, "run": name, "title": name, "queued": False}
        jobs[name] = ask(first.url, "jobs", wanted)["id"]
    until(lambda: (tmp_path / "runs/stopped/metrics.jsonl").exists())
    held = ask(first.url, f"jobs/{jobs['stopped']}")["process"]
    os.kill(held, signal.SIGSTOP)  # so that it has not ended before the next server is there
    until(lambda: (tmp_path / "runs/left/metrics.jsonl").exists())
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()

    second = serve(tmp_path)
    found = {job["id"]: job for job in ask(second.url, "jobs")["items"]}
    assert {found[id]["state"] for id in jobs.values()} <= {"running", "done"}
    ask(second.url, f"jobs/{jobs['stopped']}/stop", {})
    os.kill(held, signal.SIGCONT)
    ended = until(lambda: (job := ask(second.url, f"jobs/{jobs['stopped']}"))["ended"] and job)
    assert (ended["state"], ended["code"], ended["resumable"]) == ("stopped", 75, True)
    resumed = ask(second.url, f"jobs/{jobs['stopped']}/resume", {})
    assert resumed["run"] == "stopped"

    monkeypatch.chdir(tmp_path)
    whole = tunesmith.train(None, {**config, "output_dir": "whole"})  # without any server
    for id in (jobs["left"], resumed["id"]):
        job = until(lambda id=id: (job := ask(second.url, f"jobs/{id}"))["ended"] and job)
        assert (job["state"], job["code"]) == ("done", 0), ask(second.url, f"jobs/{id}/log")["text"]
    assert weights(tmp_path / "runs" / "left") == weights(tmp_path / "runs" / "stopped") == weights(whole)
    assert losses(tmp_path / "runs" / "left") == losses(whole)
    assert "done: runs/left" in ask(second.url, f"jobs/{jobs['left']}/log")["text"]


def test_the_queue_as_a_panel(served: Any, open_page: Callable[..., Page], axe: Callable[..., None]) -> None:
    """What waits is seen, moved, read, begun again and forgotten, by the names of its buttons."""
    ask(served.url, "jobs", {"command": ["train", "none.yaml"], "title": "fails", "devices": ["none"]})
    until(lambda: ask(served.url, "jobs")["items"][0]["state"] == "failed")
    request = urllib.request.Request(
        f"{served.url}/api/jobs/rules", b'{"paused": true}', {"X-Tunesmith": "1", "Content-Type": "application/json"},
        method="PATCH",
    )  # fmt: skip
    urllib.request.urlopen(request, timeout=60).close()
    for title in ("one", "two"):
        ask(served.url, "jobs", {"command": ["train", "none.yaml"], "title": title})
    page = open_page(f"{served.url}/#jobs", width=390)
    waiting = page.get_by_role("region", name="Jobs").get_by_role("listitem")
    page.get_by_role("button", name="Earlier: two").click()
    page.get_by_role("button", name="Earlier: one").wait_for()  # it comes second now
    assert "the queue is paused" in (waiting.filter(has_text="one").inner_text())
    page.get_by_text("1 job has ended").click()
    page.get_by_role("button", name="Log: fails").click()
    page.get_by_role("log").filter(has_text="no such file").wait_for()
    axe(page)
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Remove: fails").click()
    page.get_by_text("1 job has ended").wait_for(state="detached")
    axe(page)
