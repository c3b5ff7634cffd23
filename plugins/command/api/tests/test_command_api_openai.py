"""OpenAI's own client against a server with a tiny model; numbers against transformers."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tunesmith import TunesmithError
from tunesmith_command_api import Api
from tunesmith_library_testing import CommandSuite

openai = pytest.importorskip("openai")

MESSAGES = [{"role": "user", "content": "Who are you?"}]
PARAMETERS = {
    "type": "object",
    "properties": {"beach": {"enum": ["Rügen", "Sylt"]}, "hours": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["beach", "hours"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "function": {"name": "count_waves", "parameters": PARAMETERS}},
    {"type": "function", "function": {"name": "tell_time", "parameters": {"type": "object", "properties": {}}}},
]


class TestApi(CommandSuite):
    plugin = Api


@pytest.fixture(scope="module")
def server(tiny_llama: Path) -> Iterator[Any]:
    """A server over an untrained model, whose template calls tools."""
    import tunesmith

    for package in ("engine_transformers", "template_hermes"):
        pytest.importorskip(f"tunesmith_{package}")
    overrides = [f"model.path={tiny_llama}", "template=hermes", "precision=fp32", "engine.max_new_tokens=12"]
    with tunesmith.Server(None, overrides, port=0, model_name="tiny") as running:
        yield running


@pytest.fixture(scope="module")
def client(server: Any) -> Iterator[Any]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=60) as made:
        yield made


def ask(client: Any, **changed: Any) -> Any:
    """A chat completion, greedy unless told otherwise."""
    return client.chat.completions.create(**{"model": "tiny", "messages": MESSAGES, "temperature": 0, **changed})


@pytest.fixture(scope="module")
def model(tiny_llama: Path) -> Any:
    """The same model in transformers alone."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_llama).float().eval()


def log_probs_of(model: Any, ids: list[int]) -> Any:
    """fp32 (T, V): of what comes behind each of the tokens."""
    import torch

    with torch.no_grad():
        return torch.log_softmax(model(torch.tensor([ids])).logits[0].float(), -1)


def test_log_probabilities_are_those_of_a_forward_pass(server: Any, client: Any, model: Any) -> None:
    ids = server.service.tokens_of("Who are you? 数字", False)
    reply = client.completions.create(model="tiny", prompt=ids, max_tokens=6, temperature=0, logprobs=3, echo=True)
    found = reply.choices[0].logprobs
    words = server.service.words
    for _ in range(6):
        ids.append(int(log_probs_of(model, ids)[-1].argmax()))
    whole = log_probs_of(model, ids)
    assert found.tokens == [words.name_of(token) for token in ids]
    expected = [float(whole[at, token]) for at, token in enumerate(ids[1:])]
    assert found.token_logprobs[0] is None and found.token_logprobs[1:] == pytest.approx(expected, abs=1e-4)
    for at, likeliest in enumerate(found.top_logprobs[1:]):
        top = sorted(likeliest.values(), reverse=True)[:3]
        assert top == pytest.approx(whole[at].topk(3).values.tolist(), abs=1e-4)
    told = ask(client, logprobs=True, top_logprobs=2, max_tokens=4).choices[0].logprobs.content
    prompt = server.service.template.request(server.service.processor, _conversation(), _sampling()).prompt
    first = log_probs_of(model, list(prompt))[-1]
    assert told[0].logprob == pytest.approx(float(first.max()), abs=1e-4)
    assert bytes(told[0].bytes) == words.bytes_of(int(first.argmax()))
    values = [each.logprob for each in told[0].top_logprobs]
    assert values == pytest.approx(first.topk(2).values.tolist(), abs=1e-4)


def _conversation() -> Any:
    from tunesmith.types import Conversation

    return Conversation(MESSAGES)


def _sampling() -> Any:
    from tunesmith.types import Sampling

    return Sampling()


def test_usage_says_what_of_a_prompt_was_known(client: Any) -> None:
    turns = [{"role": "user", "content": "Tell me of the sea, of its waves and of its winds."}]
    first = ask(client, messages=turns, max_tokens=4)
    turns += [{"role": "assistant", "content": first.choices[0].message.content}, {"role": "user", "content": "More."}]
    second = ask(client, messages=turns, max_tokens=4).usage
    assert first.usage.prompt_tokens - 8 <= second.prompt_tokens_details.cached_tokens < second.prompt_tokens


def test_seeds_repeat_and_biases_count(server: Any, client: Any) -> None:
    def texts(**changed: Any) -> list[str]:
        reply = ask(client, temperature=1.0, max_tokens=8, **changed)
        return [choice.message.content for choice in reply.choices]

    three = texts(seed=5, n=3)
    assert len(set(three)) == 3 and texts(seed=5, n=3) == three
    assert texts(seed=5) + texts(seed=6) + texts(seed=7) == three, "the seed counts up"
    (token,) = server.service.tokens_of("H", False)
    assert texts(logit_bias={str(token): 100}) == ["H" * 8]
    assert "H" not in texts(logit_bias={str(token): -100}, seed=1)[0]


@pytest.mark.slow
def test_a_stop_that_lies_across_tokens(client: Any) -> None:
    whole = ask(client, max_tokens=12).choices[0].message.content
    for start in range(1, len(whole) - 3):
        stop = whole[start : start + 3]
        choice = ask(client, max_tokens=12, stop=[stop]).choices[0]
        assert (choice.message.content, choice.finish_reason) == (whole[: whole.index(stop)], "stop")


@pytest.mark.slow
def test_calls_that_are_demanded_are_valid(client: Any) -> None:
    """An untrained model would think without end before it calls; its thought ends in time."""
    sampled = {"tools": TOOLS, "temperature": 1.0, "seed": 1, "max_tokens": 240}
    for choice, names in (("required", {"count_waves", "tell_time"}), (_named("count_waves"), {"count_waves"})):
        called = [
            _check_calls(each, names)
            for each in ask(client, tool_choice=choice, n=8, parallel_tool_calls=False, **sampled).choices
        ]
        assert all(called)
    whole = ask(client, tool_choice=_named("count_waves"), n=8, **sampled).choices
    streamed: list[dict[str, Any]] = [{"arguments": ""} for _ in whole]
    body = {"tool_choice": _named("count_waves"), "n": 8, "parallel_tool_calls": False, "stream": True}
    for chunk in ask(client, **body, **sampled):
        for choice in chunk.choices:
            for call in choice.delta.tool_calls or ():
                streamed[choice.index]["name"] = call.function.name or streamed[choice.index]["name"]
                streamed[choice.index]["arguments"] += call.function.arguments
            streamed[choice.index]["reason"] = choice.finish_reason
    for found, expected in zip(streamed, whole, strict=True):
        assert found.get("reason") == expected.finish_reason
        calls = expected.message.tool_calls or []
        assert found["arguments"] == "".join(call.function.arguments for call in calls)


def _named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def _check_calls(choice: Any, names: set[str]) -> bool:
    """Whether there are calls, which are valid then."""
    if choice.finish_reason == "length":
        return False
    assert choice.finish_reason == "tool_calls" and choice.message.tool_calls
    for call in choice.message.tool_calls:
        assert call.function.name in names
        if call.function.name == "count_waves":
            _check_arguments(call.function.arguments)
    return True


def _check_arguments(text: str) -> None:
    arguments = json.loads(text)
    assert arguments["beach"] in ("Rügen", "Sylt") and 1 <= arguments["hours"] <= 9 and len(arguments) == 2


@pytest.mark.slow
def test_texts_follow_what_they_must_be(client: Any) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": PARAMETERS, "strict": True}}
    sampled = {"temperature": 1.0, "seed": 1, "max_tokens": 60, "n": 8}
    for choice in ask(client, response_format=schema, **sampled).choices:
        assert choice.finish_reason == "stop" or (choice.message.content == "" and choice.message.reasoning)
        if choice.finish_reason == "stop":
            _check_arguments(choice.message.content)
    ways = (
        {"guided_choice": ["red", "blue"]},
        {"structured_outputs": {"regex": "(red|blue)"}},
        {"guided_regex": "red|blue"},
    )
    for extra in ways:
        told = [choice.message.content for choice in ask(client, extra_body=extra, **sampled).choices]
        assert set(told) <= {"red", "blue", ""} and set(told) != {""}
        reply = client.completions.create(model="tiny", prompt="x", extra_body=extra)
        assert reply.choices[0].text in ("red", "blue")
    reasons = set()
    for either in ask(client, tools=TOOLS, response_format=schema, **sampled).choices:
        reasons.add(either.finish_reason)
        if either.finish_reason == "stop":
            _check_arguments(either.message.content)
        else:
            _check_calls(either, {"count_waves", "tell_time"})
    assert reasons & {"stop", "tool_calls"}


@pytest.mark.slow
def test_the_helpers_of_the_client_read_what_they_get(client: Any) -> None:
    from pydantic import BaseModel

    class Beach(BaseModel):
        """A beach."""

        hours: int

    sampled = {"model": "tiny", "messages": MESSAGES, "temperature": 1.0, "max_tokens": 60}
    found: list[Any] = []
    for seed in range(4):
        try:
            whole = client.chat.completions.parse(response_format=Beach, seed=seed, **sampled)
            found.append(whole.choices[0].message.parsed)
            tools = {"tools": [openai.pydantic_function_tool(Beach)], "tool_choice": "required"}
            how = {**sampled, **tools, "parallel_tool_calls": False, "seed": seed}
            with client.chat.completions.stream(**how) as stream:
                calls = stream.get_final_completion().choices[0].message.tool_calls
            found.append(calls[0].function.parsed_arguments)
        except openai.LengthFinishReasonError:  # an untrained model may think without end
            continue
    assert len(found) >= 2 and all(isinstance(each, Beach) for each in found)


@pytest.mark.slow
def test_streams_at_once_are_the_answers_alone(server: Any, client: Any) -> None:
    prompts = [f"Count to {number}." for number in range(8)]

    def answer(prompt: str) -> str:
        stream = ask(client, messages=[{"role": "user", "content": prompt}], stream=True, max_tokens=10)
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream)

    alone = [answer(prompt) for prompt in prompts]
    together: dict[str, str] = {}
    threads = [threading.Thread(target=lambda p=p: together.update({p: answer(p)})) for p in prompts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[prompt] for prompt in prompts] == alone


@pytest.mark.slow
def test_clients_that_hang_up_free_their_place(server: Any, client: Any) -> None:
    endless = {"max_tokens": 1500, "extra_body": {"ignore_eos": True}}
    stream = ask(client, stream=True, **endless)
    next(iter(stream))
    stream.close()
    with pytest.raises(openai.APITimeoutError):
        ask(client.with_options(timeout=0.5), **endless)
    until = time.monotonic() + 20
    while server.service.engine.stats().running:
        assert time.monotonic() < until, "the engine goes on for nobody"
        time.sleep(0.02)


def test_errors_are_those_of_the_client(client: Any) -> None:
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        ask(client, model="large")
    with pytest.raises(openai.BadRequestError, match="context ends at"):
        ask(client, messages=[{"role": "user", "content": "word " * 3000}])
    assert [each.id for each in client.models.list()] == ["tiny"] and client.models.retrieve("tiny").id == "tiny"


def test_a_port_that_is_taken_is_told_before_the_model_is_loaded(tiny_llama: Path) -> None:
    import tunesmith

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = tunesmith.Server(None, [f"model.path={tiny_llama}", "template=hermes"], port=port)
        with pytest.raises(TunesmithError, match=f"cannot listen on 127.0.0.1:{port}"), server:
            pass
