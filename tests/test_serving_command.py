"""The command `tunesmith api` as it is used: started on a run, asked by the clients that people have, told to stop."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from learned_answer import ANSWER, QUESTION, learned_run
from served_command import ServedCommand, gauges
from tunesmith_library_testing.wire import ask, request, sent

pytestmark = pytest.mark.slow

KEY = "sk-of-a-test"
BEARER = {"authorization": f"Bearer {KEY}"}
TALK: list[Any] = [{"role": "user", "content": QUESTION}]
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
SIGTERM_CODE = 143


def test_what_people_do_with_it(tmp_path: Path) -> None:
    """One server from its start to its end, as starting takes most of the time."""
    run = learned_run(tmp_path, template="qwen3")
    with ServedCommand(
        [str(run), "--model-name", "tiny", "--drain", "120"], tmp_path, environment={"API_KEY": KEY}
    ) as server:
        asked_by_openai(server)
        openai_calls_a_tool(server)
        anthropic_streams_a_tool_call(server)
        asked_by_curl(server)
        command = Path(f"/proc/{server.process.pid}/cmdline")
        assert not command.exists() or KEY.encode() not in command.read_bytes()
        drains(server, run)
        assert KEY not in server.said() and "Traceback" not in server.said()


def asked_by_openai(server: ServedCommand) -> None:
    """Each endpoint that the client has a method for."""
    openai = pytest.importorskip("openai")
    stranger = openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0)
    with stranger, pytest.raises(openai.AuthenticationError):
        stranger.models.list()
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0) as client:
        assert "tiny" in [model.id for model in client.models.list()]
        assert client.models.retrieve("tiny").id == "tiny"
        asked = {"model": "tiny", "temperature": 0}
        chat = client.chat.completions.create(messages=TALK, max_tokens=32, **asked)
        assert (chat.choices[0].message.content, chat.choices[0].finish_reason) == (ANSWER, "stop")
        chunks = [*client.chat.completions.create(messages=TALK, max_tokens=32, stream=True, **asked)]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ANSWER
        tokens = asyncio.run(ask(server.port, "/tokenize", {"messages": TALK}, headers=BEARER)).json()["tokens"]
        completion = client.completions.create(prompt=tokens, max_tokens=32, **asked)
        assert completion.choices[0].text.strip().startswith(ANSWER)  # no template says where a turn ends
        response = client.responses.create(input=QUESTION, max_output_tokens=32, **asked)
        assert (response.output_text, response.status) == (ANSWER, "completed")
        events = [*client.responses.create(input=QUESTION, max_output_tokens=32, stream=True, **asked)]
        assert "".join(each.delta for each in events if each.type == "response.output_text.delta") == ANSWER
        assert events[-1].type == "response.completed" and events[-1].response.output_text == ANSWER
        vectors = client.embeddings.create(model="tiny", input=["Hi", "Ho"])
        assert len(vectors.data) == 2 and len(vectors.data[0].embedding) == 256
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="nobody", messages=TALK)
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(model="tiny", messages=TALK, temperature=-1)


def openai_calls_a_tool(server: ServedCommand) -> None:
    openai = pytest.importorskip("openai")
    function = {"name": "forecast", "description": "The weather.", "parameters": PARAMETERS}
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0) as client:
        chat = client.chat.completions.create(
            model="tiny",
            messages=TALK,
            tools=[{"type": "function", "function": function}],
            tool_choice="required",
            seed=3,
            max_tokens=300,
        )
    assert chat.choices[0].finish_reason == "tool_calls" and chat.choices[0].message.tool_calls
    for call in chat.choices[0].message.tool_calls:
        assert call.function.name == "forecast" and is_forecast(json.loads(call.function.arguments))


def is_forecast(arguments: Any) -> bool:
    return set(arguments) == {"city", "days"} and arguments["city"] in ("Paris", "Rome") and arguments["days"] >= 1


def anthropic_streams_a_tool_call(server: ServedCommand) -> None:
    anthropic = pytest.importorskip("anthropic")
    tool = {"name": "forecast", "description": "The weather.", "input_schema": PARAMETERS}
    with anthropic.Anthropic(base_url=server.url, api_key=KEY, max_retries=0) as client:
        asked = {"model": "tiny", "messages": TALK}
        text = client.messages.create(max_tokens=32, extra_body={"temperature": 0}, **asked)
        assert [block.text for block in text.content] == [ANSWER] and text.stop_reason == "end_turn"
        choice = {"type": "any"}
        with client.messages.stream(max_tokens=300, tools=[tool], tool_choice=choice, **asked) as stream:
            kinds = [event.type for event in stream]
            message = stream.get_final_message()
        assert kinds[0] == "message_start" and kinds[-1] == "message_stop" and "input_json" in kinds
        called = [block for block in message.content if block.type == "tool_use"]
        assert message.stop_reason == "tool_use" and called
        assert all(block.name == "forecast" and is_forecast(block.input) for block in called)
        result = {"type": "tool_result", "tool_use_id": called[0].id, "content": "Rain."}
        more = [{"role": "assistant", "content": message.content}, {"role": "user", "content": [result]}]
        after = client.messages.create(model="tiny", messages=[*TALK, *more], max_tokens=8)
        assert after.usage.output_tokens > 0


def asked_by_curl(server: ServedCommand) -> None:
    """Whole and as a stream, and what it exits with where the key is missing."""
    curl = shutil.which("curl") or pytest.skip("curl is not installed")
    body = json.dumps({"messages": TALK, "temperature": 0, "max_tokens": 32})
    words = [curl, "-sS", "--fail-with-body", f"{server.url}/v1/chat/completions", "--json", body]
    done = subprocess.run([*words, "-H", f"Authorization: Bearer {KEY}"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done
    assert json.loads(done.stdout)["choices"][0]["message"]["content"] == ANSWER
    refused = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 22 and json.loads(refused.stdout)["error"]["message"]


def drains(server: ServedCommand, run: Path) -> None:
    """Told to stop in the middle of a stream it takes nothing new, ends the stream, and goes."""
    body = {"messages": TALK, "max_tokens": 300, "temperature": 1, "seed": 0, "stream": True}
    long = request("/v1/chat/completions", {**body, "logit_bias": _never_ends(run)}, headers=BEARER)

    async def interrupted() -> tuple[list[str], int]:
        async with sent(server.port, long) as response:
            assert response.status == 200 and response.headers["content-type"].startswith("text/event-stream")
            stream = response.events()
            events = [await anext(stream) for _ in range(4)]
            assert (await gauges(server.port, BEARER))["tunesmith_answers_running"] == 1
            server.process.send_signal(signal.SIGTERM)
            health = 200
            while health == 200:
                await asyncio.sleep(0.01)
                health = (await ask(server.port, "/health")).status
            late = await ask(server.port, "/v1/chat/completions", {"messages": TALK}, headers=BEARER)
            assert late.status == 503, late
            return events + [event async for event in stream], health

    events, health = asyncio.run(interrupted())
    assert server.process.wait(120) == SIGTERM_CODE
    assert health == 503 and events[-1] == "[DONE]"
    ends = [choice["finish_reason"] for event in events[:-1] for choice in json.loads(event)["choices"]]
    assert [end for end in ends if end] == ["length"] and len(events) > 100


def _never_ends(run: Path) -> dict[str, float]:
    """A bias against the tokens that end an answer."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(run)
    return {str(tokenizer.convert_tokens_to_ids(token)): -100.0 for token in ("<|im_end|>", "</s>")}
