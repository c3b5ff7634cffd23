"""The server of the Model Context Protocol, by the SDK's own client."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from mcp import Client, StdioServerParameters
from tunesmith_command_mcp import Mcp
from tunesmith_command_mcp.server import make_server
from tunesmith_command_mcp.serving import Guard
from tunesmith_library_studio import Studio, Workspace
from tunesmith_library_testing import CommandSuite


class TestMcpCommand(CommandSuite):
    plugin = Mcp


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    made = Studio(Workspace(Path("runs"), tmp_path))
    yield made
    made.close()


def asked(server: Any, what: Callable[[Client], Awaitable[Any]]) -> Any:
    async def connected() -> Any:
        async with Client(server) as client:
            return await what(client)

    return asyncio.run(connected())


def test_every_tool_is_described_and_marked(studio: Studio) -> None:
    async def listed(client: Client) -> Any:
        return (await client.list_tools()).tools

    tools = {tool.name: tool for tool in asked(make_server(studio, False), listed)}
    assert {"plan", "train", "run_status", "stop", "chat", "evaluate", "export", "data_preview"} <= tools.keys()
    for tool in tools.values():
        assert len(tool.description or "") > 20 and "\n" not in (tool.description or "")
        assert tool.input_schema["type"] == "object" and tool.annotations
    changing = {name for name, tool in tools.items() if not tool.annotations.read_only_hint}
    assert changing == {"train", "resume", "stop", "evaluate", "export", "chat", "unload"}
    assert {name for name in changing if tools[name].annotations.destructive_hint} == {"stop", "unload"}
    looking = asked(make_server(studio, True), listed)
    assert {tool.name for tool in looking} == tools.keys() - changing


def test_jobs_are_followed_and_errors_are_ours(studio: Studio) -> None:
    job = studio.jobs.start("train", ["train", "none.yaml"], title="fails", devices=["none"])
    deadline = time.monotonic() + 30
    while not studio.jobs.get(job.id).ended and time.monotonic() < deadline:
        time.sleep(0.05)

    async def look(client: Client) -> Any:
        told = await client.call_tool("job", {"id": job.id})
        listed = await client.call_tool("jobs", {"state": "failed"})
        wrong = await client.call_tool("job", {"id": "x"})
        outside = await client.call_tool("show_recipe", {"name": "/etc/passwd"})
        runs = await client.read_resource("tunesmith://runs")
        return told, listed, wrong, outside, runs

    told, listed, wrong, outside, runs = asked(make_server(studio, True), look)
    assert told.structured_content["state"] == "failed" and "no such file" in told.structured_content["log_end"]
    assert listed.structured_content["total"] == 1
    assert wrong.is_error and "there is no job x" in wrong.content[0].text
    assert outside.is_error and "outside of the workspace" in outside.content[0].text
    assert json.loads(runs.contents[0].text) == []


def test_a_preview_is_short_and_what_is_wrong_starts_no_job(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    spans = [{"tokens": ["What", " now", "?"], "trained": False, "weight": 0.0}]
    part = {"name": "", "tokens": 3, "trained": 0, "shown": 3, "spans": spans}
    found = {"summary": [{"check": "duplicate", "rows": 90}], "findings": [{"row": row} for row in range(90)]}
    lengths = {"max": 3, "histogram": [{"up_to": 3, "rows": 90}]}
    result = {"examples": [{"index": 0, "parts": [part]}], "lengths": lengths, "findings": found}
    wrong = {"problems": [{"severity": "error", "message": "no exporter mergd", "advice": "did you mean merged?"}]}
    monkeypatch.setattr(studio.configuring, "answer", lambda given: {"values": {}, "problems": []})
    monkeypatch.setattr(studio.data.previews, "ask", lambda what, **given: {"result": result, "notes": ["so"]})
    monkeypatch.setattr(studio.exports, "plan", lambda wanted: wrong)
    monkeypatch.setattr(studio.evaluations, "plan", lambda request, kind: wrong)

    async def look(client: Client) -> Any:
        preview = await client.call_tool("data_preview", {"config": "stage: sft"})
        export = await client.call_tool("export", {"model": "org/it", "exporters": {"mergd": {}}})
        evaluation = await client.call_tool("evaluate", {"model": "org/it", "evaluators": {"perplexity": {}}})
        return preview.structured_content, export, evaluation

    preview, *refused = asked(make_server(studio, False), look)
    told = {**part, "spans": [{"text": "What now?", "trained": False}]}
    assert preview == {
        "examples": [{"index": 0, "parts": [told]}],
        **{"lengths": {"max": 3}, "findings": found["summary"], "notes": ["so"]},
    }
    assert all(each.is_error and "did you mean merged?" in each.content[0].text for each in refused)
    assert studio.jobs.list() == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "127.0.0.1:1"}, 401),
        ({"host": "127.0.0.1:1", "authorization": "Bearer wrong"}, 401),
        ({"host": "evil.example", "authorization": "Bearer right"}, 403),
        ({"host": "127.0.0.1:1", "origin": "http://evil.example", "authorization": "Bearer right"}, 403),
        ({"host": "localhost:1", "authorization": "Bearer right"}, 200),
    ],
)
def test_who_may_ask_over_http(headers: dict[str, str], status: int) -> None:
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "headers": [(name.encode(), value.encode()) for name, value in headers.items()]}
    asyncio.run(Guard(app, "right")(scope, send, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == status


@pytest.mark.slow
def test_a_training_by_an_assistant(tmp_path: Path) -> None:
    """Over standard input, as an assistant does it: plan, train, follow, and read what was logged."""
    from tunesmith_library_testing.tiny import save_tiny_model

    save_tiny_model(tmp_path / "tiny")
    rows = [{"instruction": f"Count {n}", "output": "one " * (1 + n % 5)} for n in range(16)]
    (tmp_path / "train.json").write_text(json.dumps(rows))
    config = yaml.safe_dump(
        {
            "model": {"path": "tiny"},
            "template": "chatml",
            "data": {"train": ["train.json"], "cache": False},
            "trainer": {"max_steps": 3, "logging_steps": 1},
        }
    )
    program = StdioServerParameters(command=sys.executable, args=["-m", "tunesmith", "mcp", "--root", str(tmp_path)])

    async def talk(client: Client) -> None:
        async def call(tool: str, **arguments: Any) -> Any:
            result = await client.call_tool(tool, arguments)
            assert not result.is_error, result.content
            return result.structured_content

        plan = await call("plan", config=config)
        assert plan["problems"] == [] and plan["figures"]
        job = await call("train", config=config, name="group/first")
        assert job["run"] == "group/first" and job["state"] in ("queued", "running")
        deadline = time.monotonic() + 120
        while (now := await call("job", id=job["id"]))["ended"] is None and time.monotonic() < deadline:
            await asyncio.sleep(0.3)
        assert now["state"] == "done", now["log_end"]
        curves = await call("curves", run="group/first", metrics=["loss"])
        assert curves["step"] == 3
        status = await call("run_status", run="group/first")
        assert status["run"]["state"] == "done"
        found = await client.read_resource("tunesmith://runs/group%2Ffirst/configuration")
        assert "max_steps: 3" in found.contents[0].text
        log = await client.read_resource("tunesmith://runs/group%2Ffirst/log")
        assert "done:" in log.contents[0].text
        question = {"model": "runs/group/first", "messages": [{"role": "user", "content": "Count 3"}]}
        deadline = time.monotonic() + 120
        while (said := await call("chat", **question, max_tokens=4, temperature=0))["state"] != "ready":
            assert said["state"] == "loading" and time.monotonic() < deadline
        assert isinstance(said["answer"], str)
        await call("unload", model="runs/group/first")

    asked(program, talk)


@pytest.mark.slow
def test_over_http(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tunesmith", "mcp", "--http", "--port", "0", "--root", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        url = next(line for line in process.stderr if "serving" in line).split()[-1]

        async def look(client: Client) -> Any:
            return await client.call_tool("runs", {})

        try:
            assert asked(url, look).structured_content == {"items": [], "total": 0}
        finally:
            process.terminate()
            process.wait(20)
