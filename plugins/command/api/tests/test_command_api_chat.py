"""Chat completions: what of a request reaches the engine, and what of its tokens reaches a client."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tunesmith import TunesmithError
from tunesmith.types import Delta, LogProb, Sampling

CHAT = "/v1/chat/completions"
CALL = '<tool_call>\n{"name": "count_waves", "arguments": {"beach": "Rügen"}}\n</tool_call>'
TOOL = {"type": "function", "function": {"name": "count_waves", "parameters": {"type": "object", "properties": {}}}}
OTHER = {"type": "function", "function": {"name": "tell_time"}}


@pytest.fixture(scope="module")
def handle(tiny_llama: Any) -> Any:
    """A template that calls tools and thinks; no model is loaded."""
    import tunesmith

    pytest.importorskip("tunesmith_template_qwen")
    return tunesmith.open_model({"model": {"path": str(tiny_llama)}, "template": "qwen3"})


@pytest.fixture
def says(handle: Any) -> Callable[..., Any]:
    """`says("text")`: an engine's answer, a token at a time, with an end behind it unless its length ends it."""

    def make(text: str, reason: Any = "stop", log_probs: Sequence[LogProb] = ()) -> Any:
        ids = handle.processor.encode(text, add_special_tokens=False)
        ids += [handle.processor.convert_tokens_to_ids("<|im_end|>")] if reason == "stop" else []

        def on_submit(request: Any, answer: Any) -> None:
            for place, token in enumerate(ids):
                last = place == len(ids) - 1
                answer.put(Delta((token,), tuple(log_probs[place : place + 1]), reason if last else None))

        return on_submit

    return make


def asked(served: Any, handle: Any, **changed: Any) -> Any:
    """What the engine is asked for a request."""
    served.engine.on_submit = lambda request, answer: answer.put(Delta((40,), finish_reason="length"))
    reply = served.client.post(CHAT, json=served.chat(**changed))
    assert reply.status_code == 200, reply.text
    return served.engine.requests[-1]


def prompt_of(served: Any, handle: Any, **changed: Any) -> str:
    """The text of the prompt of a request."""
    text: str = handle.processor.decode(asked(served, handle, **changed).prompt)
    return text


def test_a_whole_answer(serving: Any, says: Any) -> None:
    served = serving()
    served.engine.on_submit = says(f"<think>\nI count.\n</think>\n\nLet me see.\n{CALL}\n{CALL}")
    reply = served.client.post(CHAT, json=served.chat(tools=[TOOL, OTHER])).json()
    (choice,) = reply["choices"]
    message = choice["message"]
    assert choice["finish_reason"] == "tool_calls" and choice["index"] == 0 and choice["logprobs"] is None
    assert message["reasoning"] == message["reasoning_content"] == "I count."
    assert (message["role"], message["content"]) == ("assistant", "Let me see.")
    ids = [call["id"] for call in message["tool_calls"]]
    assert len(set(ids)) == 2 and all(len(each) == 9 and each.isalnum() for each in ids)
    for call in message["tool_calls"]:
        assert call["type"] == "function" and call["function"]["name"] == "count_waves"
        assert json.loads(call["function"]["arguments"]) == {"beach": "Rügen"}
    made, prompt = len(served.engine.answers[0].result().token_ids), len(served.engine.requests[0].prompt)
    usage = reply["usage"]
    assert (usage["completion_tokens"], usage["prompt_tokens"], usage["total_tokens"]) == (made, prompt, made + prompt)
    assert 0 < usage["completion_tokens_details"]["reasoning_tokens"] < made
    assert reply["object"] == "chat.completion" and reply["model"] == served.service.name


def test_a_streamed_answer(serving: Any, says: Any, events: Any) -> None:
    served = serving()
    served.engine.on_submit = says(f"<think>\nI count.\n</think>\n\nLet me 数.\n{CALL}")
    body = served.chat(tools=[TOOL], stream=True, n=2, stream_options={"include_usage": True})
    response = served.client.post(CHAT, json=body)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.text.endswith("data: [DONE]\n\n")
    *chunks, usage = events(response)
    assert len({chunk["id"] for chunk in [*chunks, usage]}) == 1
    assert all(chunk["usage"] is None and chunk["object"] == "chat.completion.chunk" for chunk in chunks)
    assert usage["choices"] == []
    made = sum(len(answer.result().token_ids) for answer in served.engine.answers)
    assert usage["usage"]["completion_tokens"] == made
    assert usage["usage"]["prompt_tokens"] == len(served.engine.requests[0].prompt), "two answers share a prompt"
    for index in range(2):
        own = [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]
        deltas = [choice["delta"] for choice in own]
        assert deltas[0] == {"role": "assistant", "content": ""}
        assert "".join(delta.get("content", "") for delta in deltas) == "Let me 数."
        assert "".join(delta.get("reasoning", "") for delta in deltas) == "I count."
        assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "I count."
        (call,) = [call for delta in deltas for call in delta.get("tool_calls", ())]
        assert call["index"] == 0 and call["id"] and call["function"]["name"] == "count_waves"
        assert json.loads(call["function"]["arguments"]) == {"beach": "Rügen"}
        assert [choice["finish_reason"] for choice in own] == [None] * (len(own) - 1) + ["tool_calls"]
        assert deltas[-1] == {}


def test_thoughts_that_are_not_wanted_are_not_shown(serving: Any, says: Any, events: Any) -> None:
    served = serving()
    served.engine.on_submit = says("<think>\nI count.\n</think>\n\nSeven.")
    body = served.chat(include_reasoning=False)
    reply = served.client.post(CHAT, json=body).json()
    message = reply["choices"][0]["message"]
    assert message["content"] == "Seven." and not {"reasoning", "reasoning_content"} & message.keys()
    assert reply["usage"]["completion_tokens_details"]["reasoning_tokens"] > 0, "they were thought"
    chunks = events(served.client.post(CHAT, json={**body, "stream": True}))
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert "".join(delta.get("content", "") for delta in deltas) == "Seven."
    assert not any({"reasoning", "reasoning_content"} & delta.keys() for delta in deltas)


def test_functions_are_what_tools_were_called_before(serving: Any, says: Any, events: Any) -> None:
    served = serving()
    served.engine.on_submit = says(f"{CALL}\n{CALL}")
    body = served.chat(functions=[TOOL["function"]])
    choice = served.client.post(CHAT, json=body).json()["choices"][0]
    assert choice["finish_reason"] == "function_call"
    assert choice["message"]["function_call"]["name"] == "count_waves" and "tool_calls" not in choice["message"]
    chunks = events(served.client.post(CHAT, json={**body, "stream": True}))
    (found,) = [
        c["choices"][0]["delta"]["function_call"] for c in chunks if "function_call" in c["choices"][0]["delta"]
    ]
    assert json.loads(found["arguments"]) == {"beach": "Rügen"}
    assert chunks[-1]["choices"][0]["finish_reason"] == "function_call"


def test_one_call_alone_and_none_without_tools(serving: Any, says: Any) -> None:
    served = serving()
    served.engine.on_submit = says(f"{CALL}\n{CALL}\nand more")
    one = served.client.post(CHAT, json=served.chat(tools=[TOOL], parallel_tool_calls=False)).json()["choices"][0]
    assert len(one["message"]["tool_calls"]) == 1 and one["finish_reason"] == "tool_calls"
    for none in ({}, {"tools": [TOOL], "tool_choice": "none"}):
        choice = served.client.post(CHAT, json=served.chat(**none)).json()["choices"][0]
        assert "tool_calls" not in choice["message"] and "count_waves" in choice["message"]["content"]
        assert choice["finish_reason"] == "stop"


def test_stops_and_characters_that_straddle_tokens(serving: Any, says: Any, events: Any) -> None:
    served = serving()
    served.engine.on_submit = says("Grüße 数字 and then END of it")
    tokens = len(served.service.tokens_of("Grüße 数字 and then END of it", False))
    for stop in ("END", ["nothing", "d then EN"], ["x", "y", "z", "w", "END"]):
        body = served.chat(stop=stop)
        choice = served.client.post(CHAT, json=body).json()["choices"][0]
        expected = "Grüße 数字 an" if stop == ["nothing", "d then EN"] else "Grüße 数字 and then "
        assert (choice["message"]["content"], choice["finish_reason"]) == (expected, "stop")
        streamed = events(served.client.post(CHAT, json={**body, "stream": True}))
        texts = [chunk["choices"][0]["delta"].get("content", "") for chunk in streamed]
        assert "".join(texts) == expected and "\ufffd" not in "".join(texts)
    assert tokens > len("Grüße 数字 and then END of it") / 2, "this tokenizer cuts words and characters"


def test_log_probabilities_have_the_bytes_of_tokens(serving: Any, says: Any, events: Any, handle: Any) -> None:
    served = serving()
    ids = handle.processor.encode("数", add_special_tokens=False)
    found = [LogProb(-0.5 - place, {ids[0]: -0.25, 40: -math.inf}) for place in range(len(ids))]
    served.engine.on_submit = says("数", "length", found)
    body = served.chat(logprobs=True, top_logprobs=2)
    content = served.client.post(CHAT, json=body).json()["choices"][0]["logprobs"]["content"]
    assert b"".join(bytes(each["bytes"]) for each in content) == "数".encode()
    assert [each["logprob"] for each in content] == [each.value for each in found]
    assert [each["logprob"] for each in content[0]["top_logprobs"]] == [-0.25, -9999.0]
    assert served.engine.requests[-1].log_probs == 2
    chunks = events(served.client.post(CHAT, json={**body, "stream": True}))
    streamed = [each for c in chunks for each in (c["choices"][0]["logprobs"] or {"content": []})["content"]]
    assert streamed == content
    reply = served.client.post(CHAT, json=served.chat(top_logprobs=2))
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "top_logprobs")


def test_every_field_of_sampling_reaches_the_engine(serving: Any, handle: Any) -> None:
    served = serving()
    request = asked(
        served,
        handle,
        temperature=0.5,
        top_p=0.9,
        top_k=-1,
        min_p=0.1,
        max_completion_tokens=7,
        max_tokens=9,
        presence_penalty=0.25,
        frequency_penalty=-0.5,
        repetition_penalty=1.5,
        logit_bias={"40": 2, "41": -100},
        seed=11,
        stop_token_ids=[77],
        n=1,
    )
    ends = served.service.end_token_ids - served.engine.end_token_ids
    assert set(request.sampling.stop_token_ids) >= {77, *ends}
    assert request.sampling == Sampling(
        max_new_tokens=7,
        temperature=0.5,
        top_p=0.9,
        top_k=0,
        min_p=0.1,
        presence_penalty=0.25,
        frequency_penalty=-0.5,
        repetition_penalty=1.5,
        logit_bias={40: 2.0, 41: -math.inf},
        seed=11,
        stop_token_ids=request.sampling.stop_token_ids,
    )
    asked(served, handle, seed=3, n=3)
    assert [each.sampling.seed for each in served.engine.requests[-3:]] == [3, 4, 5]
    biases = asked(served, handle, ignore_eos=True).sampling.logit_bias
    assert biases == dict.fromkeys(served.service.end_token_ids, -math.inf)
    grammar = asked(served, handle, response_format={"type": "json_object"}).sampling.grammar
    assert "object" in grammar and asked(served, handle, response_format={"type": "text"}).sampling.grammar is None


def test_messages_in_all_forms_are_the_conversation(serving: Any, handle: Any) -> None:
    served = serving()
    function = {"name": "count_waves", "arguments": '{"beach": "Rügen"}'}
    plain = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "How many?"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "abc", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "abc", "content": "7"},
    ]
    other = [
        {"role": "developer", "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}]},
        {"role": "user", "name": "ann", "content": [{"type": "text", "text": "How many?"}]},
        {"role": "assistant", "function_call": function},
        {"role": "function", "name": "count_waves", "content": "7"},
    ]
    expected = handle.template.render(
        [*plain[:2], {**plain[2], "content": "", "tool_calls": [{"type": "function", "function": function}]}, plain[3]],
        add_generation_prompt=True,
    ).text
    assert prompt_of(served, handle, messages=plain) == prompt_of(served, handle, messages=other) == expected
    thought = [
        {"role": "user", "content": "Go."},
        {"role": "assistant", "content": "", "tool_calls": plain[2]["tool_calls"]},
    ]
    for name in ("reasoning", "reasoning_content"):
        said = [thought[0], {**thought[1], name: "I think."}, plain[3]]
        assert "<think>\nI think.\n</think>" in prompt_of(served, handle, messages=said)


def test_what_the_template_is_told(serving: Any, handle: Any) -> None:
    served = serving()
    open_, closed = prompt_of(served, handle), prompt_of(served, handle, enable_thinking=False)
    assert closed.endswith("<think>\n\n</think>\n\n") and not open_.endswith("</think>\n\n")
    assert prompt_of(served, handle, chat_template_kwargs={"enable_thinking": False}) == closed
    assert prompt_of(served, handle, reasoning_effort="none") == closed
    assert prompt_of(served, handle, reasoning_effort="high") == open_
    assert prompt_of(served, handle, tools=[TOOL]).count("count_waves") == 1
    assert prompt_of(served, handle, tools=[TOOL], tool_choice="none") == open_
    only = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [TOOL]}}
    assert prompt_of(served, handle, tools=[TOOL, OTHER], tool_choice=only) == prompt_of(served, handle, tools=[TOOL])
    begun = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Hello wo"}]
    going_on = {"messages": begun, "continue_final_message": True, "add_generation_prompt": False}
    assert prompt_of(served, handle, **going_on).endswith("Hello wo")
    assert prompt_of(served, handle, add_generation_prompt=False) == open_.removesuffix("<|im_start|>assistant\n")


@pytest.mark.parametrize(("jinja", "why"), [("{{ messages }}", "no tools"), ("{{ tools }}", "writes calls")])
def test_tools_that_the_model_does_not_hear_of(jinja: str, why: str) -> None:
    from tunesmith_command_api.constraining import refuse_unheard
    from tunesmith_command_api.errors import ApiError
    from tunesmith_library_chat import ChatTemplate

    with pytest.raises(ApiError, match=why) as refused:
        refuse_unheard(ChatTemplate("deaf", jinja, ()))
    assert (refused.value.status, refused.value.param) == (400, "tools")


def test_usage_in_every_chunk(serving: Any, says: Any, events: Any) -> None:
    served = serving()
    served.engine.on_submit = says("one two three")
    body = served.chat(stream=True, stream_options={"continuous_usage_stats": True})
    counts = [chunk["usage"]["completion_tokens"] for chunk in events(served.client.post(CHAT, json=body))]
    assert (
        counts[0] == 0 and counts == sorted(counts) and counts[-1] == len(served.engine.answers[0].result().token_ids)
    )


def test_an_answer_that_goes_on_keeps_its_first_space(serving: Any, says: Any) -> None:
    served = serving()
    served.engine.on_submit = says(" world")
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Hello"}]
    body = {"messages": messages, "continue_final_message": True}
    assert served.client.post(CHAT, json=body).json()["choices"][0]["message"]["content"] == " world"


WITHOUT_EFFECT: dict[str, Any] = {
    "user": "ann",
    "metadata": {"a": "b"},
    "store": True,
    "service_tier": "auto",
    "safety_identifier": "x",
    "prompt_cache_key": "y",
    "prediction": {"type": "content", "content": "z"},
    "verbosity": "low",
    "modalities": ["text"],
    "best_of": 1,
    "echo": False,
    "length_penalty": 1.0,
    "use_beam_search": False,
    "min_tokens": 0,
}


def test_fields_without_effect_are_known_and_strange_ones_are_named(serving: Any, says: Any) -> None:
    served = serving()
    served.engine.on_submit = says("ok")
    reply = served.client.post(CHAT, json=served.chat(**WITHOUT_EFFECT))
    assert reply.status_code == 200 and "x-tunesmith-ignored-fields" not in reply.headers
    strange = served.chat(top_q=1, stream_options=None)
    strange["messages"][0]["colour"] = "red"
    for stream in (False, True):
        reply = served.client.post(CHAT, json={**strange, "stream": stream})
        assert reply.headers["x-tunesmith-ignored-fields"] == "messages[0].colour, top_q"
    strict = serving(strict=True)
    form = {"type": "text", "json_schema": {"shema": {}}}
    parts = (
        ({"messages": [{"role": "user", "content": "a", "zap": 1}]}, "messages[0].zap"),
        ({"messages": [{"role": "user", "content": "a", "nam": "b"}]}, "messages[0].nam; did you mean name?"),
        (
            {"response_format": form},
            "response_format.json_schema.shema; did you mean schema?",
        ),
    )
    for changed, told in parts:
        message = strict.client.post(CHAT, json=strict.chat(**changed)).json()["error"]["message"]
        assert message == f"unknown fields: {told}"
    assert strict.client.post(CHAT, json=strict.chat(top_q=1)).json()["error"] == {
        "message": "unknown fields: top_q; did you mean top_p?",
        "type": "invalid_request_error",
        "param": "top_q",
        "code": "unknown_parameter",
    }


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"best_of": 2}, "best_of"),
    ({"echo": True}, "echo"),
    ({"min_tokens": 2}, "min_tokens"),
    ({"prompt_logprobs": 1}, "prompt_logprobs"),
    ({"use_beam_search": True}, "use_beam_search"),
    ({"length_penalty": 2.0}, "length_penalty"),
    ({"bad_words": ["x"]}, "bad_words"),
    ({"allowed_token_ids": [40]}, "allowed_token_ids"),
    ({"detokenize": False}, "detokenize"),
    ({"truncate_prompt_tokens": 1}, "truncate_prompt_tokens"),
    ({"regex": "a"}, "regex"),
    ({"stop_token_ids": [99999999]}, "stop_token_ids"),
    ({"stop_token_ids": [40, -1]}, "stop_token_ids"),
    ({"chat_template": "{{ x }}"}, "chat_template"),
    ({"audio": {"voice": "x"}}, "audio"),
    ({"modalities": ["text", "audio"]}, "modalities"),
    ({"chat_template_kwargs": {"messages": []}}, "chat_template_kwargs"),
    ({"web_search_options": {"x": 1}}, "web_search_options"),
    ({"include_stop_str_in_output": True}, "include_stop_str_in_output"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    (
        {
            "messages": [
                {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "count_waves"}}]},
                {"role": "tool", "tool_call_id": "a", "content": "7"},
                {"role": "tool", "tool_call_id": "b", "content": "7"},
            ]
        },
        "messages[2].tool_call_id",
    ),
    ({"messages": [{"role": "assistant", "audio": {"id": "x"}}]}, "messages[0].audio"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}]},
        "messages[0].content[0]",
    ),
    ({"temperature": -1}, "temperature"),
    ({"top_p": 2}, "top_p"),
    ({"top_k": -2}, "top_k"),
    ({"n": 0}, "n"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"logit_bias": {"x": 1}}, "logit_bias"),
    ({"logit_bias": {"40": 101}}, "logit_bias"),
    ({"logit_bias": {"99999999": 1}}, "logit_bias"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    ({"response_format": {"type": "yaml"}}, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ({"response_format": {"type": "json_object"}, "guided_choice": ["a"]}, "guided_choice"),
    ({"guided_json": "{"}, "guided_json"),
    ({"guided_regex": "("}, "guided_regex"),
    ({"guided_choice": []}, "guided_choice"),
    ({"guided_grammar": "start"}, "guided_grammar"),
    ({"structured_outputs": {"structural_tag": "x"}}, "structured_outputs.structural_tag"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tools": [TOOL], "tool_choice": "requird"}, "tool_choice"),
    ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "count"}}}, "tool_choice"),
    ({"tools": [TOOL], "tool_choice": {"function": 3}}, "tool_choice"),
    ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0]"),
    ({"continue_final_message": True, "add_generation_prompt": True}, "continue_final_message"),
    ({"messages": [{"role": "user", "content": "word " * 3000}]}, "messages"),
]


def test_what_cannot_be_honoured_is_refused_by_name(serving: Any) -> None:
    served = serving()
    for changed, param in REFUSED:
        reply = served.client.post(CHAT, json=served.chat(**changed))
        error = reply.json()["error"]
        assert (reply.status_code, error["param"], error["type"]) == (400, param, "invalid_request_error"), changed
        assert error["message"], changed
    assert not served.engine.requests
    assert (
        served.client.post(CHAT, json=served.chat(**REFUSED[-1][0])).json()["error"]["code"]
        == "context_length_exceeded"
    )


def test_a_body_that_is_none(serving: Any) -> None:
    served = serving()
    for content in (b"{", b"[]", b"3", b"", b"\xff"):
        reply = served.client.post(CHAT, content=content, headers={"content-type": "application/json"})
        assert reply.status_code == 400 and reply.json()["error"]["type"] == "invalid_request_error", content
    half = rb'{"messages": [{"role": "user", "content": "x"}], "metadata": {"a": "\ud800"}}'
    reply = served.client.post(CHAT, content=half, headers={"content-type": "application/json"})
    assert reply.status_code == 400 and "surrogate" in reply.json()["error"]["message"]
    plain = served.client.post(CHAT, content=json.dumps(served.chat()).encode(), headers={"content-type": "text/plain"})
    assert plain.status_code in (400, 415) and "application/json" in plain.json()["error"]["message"]
    assert served.client.get("/v1/nothing").json()["error"]["type"] == "not_found_error"
    assert served.client.get(CHAT).status_code == 405


def test_a_model_that_is_not_served(serving: Any, says: Any) -> None:
    served = serving(model_name="sea")
    served.engine.adapters = ("calm",)
    served.engine.on_submit = says("ok")
    error = served.client.post(CHAT, json=served.chat(model="see")).json()["error"]
    assert error["code"] == "model_not_found" and "sea" in error["message"] and "calm" in error["message"]
    listed = served.client.get("/v1/models").json()
    assert [(each["id"], each["parent"]) for each in listed["data"]] == [("sea", None), ("calm", "sea")]
    one = served.client.get("/v1/models/calm").json()
    assert one["id"] == "calm" and one["template"] == "qwen3"
    assert one["capabilities"] == {
        "answers": True, "media": [], "tools": True, "reasoning": True, "switches_thinking": True
    }  # fmt: skip
    assert served.client.get("/v1/models/see").status_code == 404
    for model, adapter in (("sea", None), ("calm", "calm")):
        assert served.client.post(CHAT, json=served.chat(model=model)).json()["model"] == model
        assert served.engine.requests[-1].adapter == adapter


def test_the_base_of_a_run_is_served_by_its_address(handle: Any) -> None:
    import dataclasses
    from pathlib import Path
    from types import SimpleNamespace

    from tunesmith_command_api.errors import ApiError
    from tunesmith_command_api.service import Service

    base = handle.source.address
    for adapters, run, wanted in (
        (("base", "default"), "base", {None: None, "base": None, "default": "default", base: "base"}),
        (("base", "default"), "sea", {"sea": None, "base": "base", base: "base"}),
        ((), None, {None: None, base: None}),
    ):
        engine: Any = SimpleNamespace(adapters=adapters, stats=None)
        trained = dataclasses.replace(handle, adapter=Path("runs/sea") if run else None)
        service = Service(trained, engine, run=run)
        assert {name: service.adapter_of(name) for name in wanted} == wanted
    whole = Service(handle, engine, run="sea")
    with pytest.raises(ApiError, match="does not exist"):
        whole.adapter_of(base)


def test_an_error_in_one_request_is_that_of_one_request(serving: Any, says: Any, events: Any) -> None:
    served = serving()

    def fail(request: Any, answer: Any) -> None:
        answer.put(Delta((40,)))
        answer.fail(RuntimeError("secret"))

    served.engine.on_submit = fail
    reply = served.client.post(CHAT, json=served.chat())
    assert reply.status_code == 500 and "secret" not in reply.text and reply.json()["error"]["type"] == "server_error"
    streamed = events(served.client.post(CHAT, json=served.chat(stream=True)))
    assert streamed[-1]["error"]["type"] == "server_error" and "secret" not in json.dumps(streamed)
    served.engine.on_submit = lambda request, answer: answer.fail(TunesmithError("the grammar leaves no token"))
    reply = served.client.post(CHAT, json=served.chat())
    assert (reply.status_code, reply.json()["error"]["message"]) == (500, "the grammar leaves no token")
    served.engine.on_submit = says("ok")
    assert served.client.post(CHAT, json=served.chat()).json()["choices"][0]["message"]["content"] == "ok"
