"""/v1/messages by Anthropic's own client: turns, thoughts, tools, endings, events, mistakes."""

import json

import pytest

anthropic = pytest.importorskip("anthropic")
pytest.importorskip("tunesmith_template_qwen")

THOUGHT = "<think>\nTwo and two.\n</think>\n\nFour."
CALL = 'Let me see.\n<tool_call>\n{"name": "add", "arguments": {"a": 2, "b": [1, "ü"]}}\n</tool_call>'
TOOLS = [{"name": "add", "description": "Adds.", "input_schema": {"type": "object", "properties": {"a": {}, "b": {}}}}]
ASKED = [{"role": "user", "content": "2+2?"}]


@pytest.fixture(scope="module")
def handle(tiny_llama):
    import tunesmith

    return tunesmith.open_model({"model": {"path": str(tiny_llama)}, "template": "qwen3"})


@pytest.fixture
def asking(serving):
    """`asking(text)` is a client of a server that says that, and what the engine was asked as text."""
    from tunesmith.types import Delta

    def begin(text, reason="stop", **options):
        served = serving(model_name="tiny", **options)
        tokenizer = served.service.tokenizer

        def say(request, answer):
            for token in tokenizer.encode(text, add_special_tokens=False):
                answer.put(Delta((token,)))
            answer.put(Delta((tokenizer.convert_tokens_to_ids("<|im_end|>"),) if reason == "stop" else (), (), reason))

        served.engine.on_submit = say
        address = f"http://127.0.0.1:{served.port}"
        client = anthropic.Anthropic(base_url=address, api_key="any", max_retries=0, timeout=20)

        def prompts():
            return [tokenizer.decode(request.prompt) for request in served.engine.requests]

        return client, prompts, served

    return begin


def test_a_thought_and_an_answer(asking):
    client, prompts, served = asking(THOUGHT)
    system = [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be right."}]
    message = client.messages.create(
        model="tiny", max_tokens=99, system=system, messages=ASKED, extra_body={"temperature": 0.5, "top_k": 3}
    )
    assert [(block.type, getattr(block, block.type)) for block in message.content] == [
        ("thinking", "Two and two."),
        ("text", "Four."),
    ]
    assert (message.stop_reason, message.stop_sequence, message.role, message.model) == (
        "end_turn",
        None,
        "assistant",
        "tiny",
    )
    (request,) = served.engine.requests
    count = len(served.service.tokenizer.encode(THOUGHT, add_special_tokens=False)) + 1
    assert (message.usage.input_tokens, message.usage.output_tokens) == (len(request.prompt), count)
    assert prompts() == [
        "<|im_start|>system\nBe brief.\n\nBe right.<|im_end|>\n<|im_start|>user\n2+2?<|im_end|>\n"
        "<|im_start|>assistant\n"
    ]
    sampling = request.sampling
    assert (sampling.max_new_tokens, sampling.temperature, sampling.top_k) == (99, 0.5, 3)


def test_a_call_of_a_tool_is_streamed(asking):
    client, _, _ = asking(CALL)
    kinds, parts = [], ""
    with client.messages.stream(model="tiny", max_tokens=99, tools=TOOLS, messages=ASKED) as stream:
        for event in stream:
            kinds.append(event.type)
            if event.type == "content_block_delta" and event.delta.type == "input_json_delta":
                parts += event.delta.partial_json
        message = stream.get_final_message()
    text, call = message.content
    assert (text.text, call.name, call.input) == ("Let me see.", "add", {"a": 2, "b": [1, "ü"]})
    assert message.stop_reason == "tool_use" and call.id and json.loads(parts) == call.input
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop" and kinds[-2] == "message_delta"
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 2
    assert message.usage.output_tokens > 10


def test_thoughts_are_streamed_as_blocks_of_their_own(asking, events):
    _, _, served = asking(THOUGHT)
    body = {"model": "tiny", "max_tokens": 9, "stream": True, "messages": ASKED}
    sent = events(reply := served.client.post("/v1/messages", json=body))
    assert reply.text.startswith('event: message_start\ndata: {"type":"message_start","message":{"id":"msg_')
    assert [event["type"] for event in sent if "delta" not in event] == [
        *("message_start", "ping", "content_block_start", "content_block_stop"),
        *("content_block_start", "content_block_stop", "message_stop"),
    ]
    assert sent[-2]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    deltas = [(event["index"], event["delta"]) for event in sent if event["type"] == "content_block_delta"]
    assert "".join(delta["thinking"] for index, delta in deltas if delta["type"] == "thinking_delta") == "Two and two."
    assert [index for index, delta in deltas if delta["type"] == "signature_delta"] == [0]
    assert "".join(delta["text"] for index, delta in deltas if index == 1) == "Four."


def test_turns_with_calls_and_results(asking):
    client, prompts, _ = asking("Five.")
    turns = [
        *ASKED,
        {"role": "user", "content": [{"type": "text", "text": "And?"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "I add.", "signature": ""},
                {"type": "text", "text": "So:"},
                {"type": "tool_use", "id": "one", "name": "add", "input": {"a": 1}},
                {"type": "tool_use", "id": "two", "name": "add", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "one", "content": [{"type": "text", "text": "5"}]},
                {"type": "tool_result", "tool_use_id": "two", "content": "no", "is_error": True},
            ],
        },
    ]
    message = client.messages.create(model="tiny", max_tokens=9, tools=TOOLS, messages=turns)
    assert message.content[0].text == "Five."
    (prompt,) = prompts()
    assert prompt.endswith(
        "<|im_start|>user\n2+2?\n\nAnd?<|im_end|>\n<|im_start|>assistant\n<think>\nI add.\n</think>\n\nSo:\n"
        '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>\n'
        '<tool_call>\n{"name": "add", "arguments": {}}\n</tool_call><|im_end|>\n<|im_start|>user\n'
        "<tool_response>\n5\n</tool_response>\n<tool_response>\nerror: no\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert '"name": "add", "description": "Adds."' in prompt


def test_an_answer_is_gone_on_with(asking):
    client, prompts, _ = asking(" four.")
    turns = [*ASKED, {"role": "assistant", "content": "It is"}]
    assert client.messages.create(model="tiny", max_tokens=9, messages=turns).content[0].text == " four."
    assert prompts()[0].endswith("assistant\n<think>\n\n</think>\n\nIt is") or prompts()[0].endswith("assistant\nIt is")


@pytest.mark.parametrize("string", ["wo an", "!"])  # inside of several tokens, and one token
def test_a_stop_sequence_is_named(asking, string):
    client, _, served = asking("Two and!")
    single = len(served.service.tokenizer.encode(string, add_special_tokens=False)) == 1
    assert single == (string == "!")
    if single:  # the engine ends it, as the request says
        from tunesmith.types import Delta

        (token,) = served.service.tokenizer.encode(string, add_special_tokens=False)
        served.engine.on_submit = lambda request, answer: (
            answer.put(Delta((served.service.tokenizer.encode("T")[0],))),
            answer.put(Delta((token,), (), "stop")) if token in request.sampling.stop_token_ids else None,
        )
    message = client.messages.create(model="tiny", max_tokens=9, messages=ASKED, stop_sequences=["no", string])
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", string)
    assert message.content[0].text == "T"


def test_an_answer_that_was_cut_off(asking):
    client, _, _ = asking("Two", reason="length")
    message = client.messages.create(model="tiny", max_tokens=9, messages=ASKED)
    assert message.stop_reason == "max_tokens" and message.content[0].text == "Two"


def test_an_answer_that_the_context_ended(asking):
    client, _, served = asking("Two", reason="length")
    prompt = client.messages.count_tokens(model="tiny", messages=ASKED).input_tokens
    served.engine.context_length = prompt + len(served.service.tokenizer.encode("Two", add_special_tokens=False))
    message = client.messages.create(model="tiny", max_tokens=999, messages=ASKED)
    assert message.stop_reason == "model_context_window_exceeded"


def test_thoughts_are_left_out_if_asked(asking):
    client, _, _ = asking(THOUGHT)
    asked = {
        "model": "tiny",
        "max_tokens": 99,
        "messages": ASKED,
        "thinking": {"type": "adaptive", "display": "omitted"},
    }
    whole = client.messages.create(**asked)
    with client.messages.stream(**asked) as stream:
        streamed = stream.get_final_message()
    for message in (whole, streamed):
        assert (message.content[0].thinking, message.content[1].text) == ("", "Four.")
        assert 0 < message.usage.output_tokens_details.thinking_tokens < message.usage.output_tokens


def test_thinking_is_switched(asking):
    client, prompts, _ = asking("Four.")
    client.messages.create(model="tiny", max_tokens=9, messages=ASKED, thinking={"type": "disabled"})
    client.messages.create(
        model="tiny", max_tokens=2000, messages=ASKED, thinking={"type": "enabled", "budget_tokens": 1024}
    )
    assert prompts()[0].endswith("assistant\n<think>\n\n</think>\n\n") and prompts()[1].endswith("assistant\n")
    with pytest.raises(anthropic.BadRequestError, match=r"budget_tokens=9 must be below max_tokens=9"):
        client.messages.create(
            model="tiny", max_tokens=9, messages=ASKED, thinking={"type": "enabled", "budget_tokens": 9}
        )


@pytest.mark.parametrize(
    ("thinks", "switches", "refused"),
    [(False, False, {"enabled"}), (True, False, {"disabled"}), (True, True, set())],
)
def test_thinking_is_refused_where_it_cannot_be_chosen(thinks, switches, refused):
    from types import SimpleNamespace

    from tunesmith_command_api.errors import ApiError
    from tunesmith_command_api.messages_asking import conversation_of
    from tunesmith_command_api.messages_fields import MessagesRequest

    template = SimpleNamespace(thinking=object() if thinks else None, switches_thinking=switches, jinja="", name="x")
    found, edits = set(), {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}
    for kind in ("enabled", "adaptive", "disabled"):
        body = MessagesRequest(max_tokens=9, messages=ASKED, thinking={"type": kind}, context_management=edits)
        try:
            variables = conversation_of(body, SimpleNamespace(template=template)).variables
        except ApiError:
            found.add(kind)
        else:
            assert variables == ({"enable_thinking": kind != "disabled"} if switches else {})
    assert found == refused


def test_a_thought_ends_at_its_budget(asking):
    """The engine is asked again behind the closing mark; a thought that ends by itself is left alone."""
    client, prompts, served = asking("<think>\nHm, " + "well, " * 200 + "\n</think>\n\nFour.")
    think = served.engine.on_submit

    def say(request, answer):
        if len(served.engine.requests) == 1:
            return think(request, answer)
        from tunesmith.types import Delta

        for token in served.service.tokenizer.encode("Five.", add_special_tokens=False):
            answer.put(Delta((token,)))
        return answer.put(Delta((), (), "length"))

    served.engine.on_submit = say
    asked = {"model": "tiny", "max_tokens": 100, "messages": ASKED}
    message = client.messages.create(**asked, thinking={"type": "enabled", "budget_tokens": 40})
    first, second = served.engine.requests
    thought, text = message.content
    assert text.text == "Five." and thought.thinking.startswith("Hm, well,") and served.engine.answers[0].ended
    assert prompts()[1] == f"{prompts()[0]}<think>\n{thought.thinking}\n</think>\n\n"
    closing = len(served.service.tokenizer.encode("\n</think>\n\n", add_special_tokens=False))
    assert len(second.prompt) == len(first.prompt) + 40 + closing
    assert second.sampling.max_new_tokens == 100 - 40 - closing
    client, _, served = asking(THOUGHT)
    asked["max_tokens"] = 900
    assert (
        client.messages.create(**asked, thinking={"type": "enabled", "budget_tokens": 500}).content[1].text == "Four."
    )
    message = client.messages.create(**asked, thinking={"type": "enabled", "budget_tokens": 1})
    assert served.engine.requests[2].prompt[-closing:] == second.prompt[-closing:]


def test_tokens_are_counted(asking):
    client, _, served = asking("Four.")
    counted = client.messages.count_tokens(model="tiny", messages=ASKED, tools=TOOLS, system="Be brief.")
    client.messages.create(model="tiny", max_tokens=9, messages=ASKED, tools=TOOLS, system="Be brief.")
    assert counted.input_tokens == len(served.engine.requests[0].prompt)


def _result(id):
    return {"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": "5"}]}


MISTAKES = [
    ({"max_tokens": None}, "max_tokens"),
    ({"messages": []}, "messages"),
    ({"messages": [_result("x")]}, r"messages\[0\].content\[0\].tool_use_id"),
    (
        {"messages": [{"role": "user", "content": [{"type": "document", "source": {}}]}]},
        r"content\[0\].*'document'",
    ),
    ({"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "base64"}}]}]}, "image"),
    ({"system": [{"type": "image"}]}, r"system\[0\]"),
    ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, r"tools\[0\]"),
    ({"tool_choice": {"type": "any"}}, "tool_choice"),
    ({"tools": TOOLS, "tool_choice": {"type": "tool", "name": "sub"}}, "there is no tool 'sub'; declared: add"),
    ({"mcp_servers": [{"type": "url"}]}, "mcp_servers is not supported"),
    ({"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}, "context_management is not supported"),
    ({"temperature": -1}, "temperature"),
]


def test_mistakes_are_told_in_anthropics_shape(asking):
    client, _, served = asking("Four.")
    for changed, told in MISTAKES:
        body = {"model": "tiny", "max_tokens": 9, "messages": ASKED, **changed}
        with pytest.raises(anthropic.BadRequestError, match=told) as caught:
            client.post("/v1/messages", body=body, cast_to=object)
        found = caught.value.body
        assert found["type"] == "error" and found["error"]["type"] == "invalid_request_error", changed
    assert not served.engine.requests


def test_other_errors_have_the_classes_of_the_client(asking):
    client, _, served = asking("Four.", api_key="secret")
    with pytest.raises(anthropic.AuthenticationError):
        client.messages.create(model="tiny", max_tokens=9, messages=ASKED)
    client = client.with_options(api_key="secret")
    with pytest.raises(anthropic.NotFoundError, match="does not exist"):
        client.messages.create(model="other", max_tokens=9, messages=ASKED)

    def fail(request, answer):
        answer.fail(RuntimeError("inside"))

    served.engine.on_submit = fail
    with pytest.raises(anthropic.InternalServerError, match="the server failed") as caught:
        client.messages.create(model="tiny", max_tokens=9, messages=ASKED)
    assert caught.value.body["error"]["type"] == "api_error" and "inside" not in str(caught.value.body)
    with pytest.raises(anthropic.APIStatusError, match="the server failed"):
        list(client.messages.create(model="tiny", max_tokens=9, messages=ASKED, stream=True))


def test_a_ping_comes_while_nothing_else_does(asking, events, monkeypatch):
    import threading

    from tunesmith.types import Delta
    from tunesmith_command_api import routes_messages

    monkeypatch.setattr(routes_messages, "_PATIENCE", 0.05)
    _, _, served = asking("")
    served.engine.on_submit = lambda request, answer: threading.Timer(
        0.2, answer.put, [Delta((), (), "length")]
    ).start()
    body = {"model": "tiny", "max_tokens": 9, "stream": True, "messages": ASKED}
    sent = [event["type"] for event in events(served.client.post("/v1/messages", json=body))]
    assert sent.count("ping") >= 2 and sent[-1] == "message_stop"


@pytest.mark.slow
def test_a_call_that_is_demanded_of_a_model_that_knows_nothing(tiny_llama):
    """The whole way, through the grammar: Anthropic's client streams it, OpenAI's gets it as a response."""
    import tunesmith

    openai = pytest.importorskip("openai")
    pytest.importorskip("tunesmith_engine_transformers")
    schema = {
        "type": "object",
        "properties": {"unit": {"enum": ["C", "F"]}, "hot": {"type": "boolean"}},
        "required": ["unit", "hot"],
        "additionalProperties": False,
    }
    tool = {"name": "weather", "input_schema": schema}
    model = {"model": {"path": str(tiny_llama)}, "template": "qwen3", "engine": {"temperature": 1.0}}
    with tunesmith.Server(model, port=0, model_name="tiny") as server:
        client = anthropic.Anthropic(base_url=server.url, api_key="any", max_retries=0)
        asked = {
            "model": "tiny",
            "max_tokens": 200,
            "messages": ASKED,
            "tools": [tool],
            "thinking": {"type": "disabled"},
        }
        for choice in ({"type": "any"}, {"type": "tool", "name": "weather", "disable_parallel_tool_use": True}):
            with client.messages.stream(**asked, tool_choice=choice) as stream:
                message = stream.get_final_message()
            call = message.content[-1]
            assert (message.stop_reason, call.type, call.name) == ("tool_use", "tool_use", "weather")
            assert call.input["unit"] in ("C", "F") and isinstance(call.input["hot"], bool)
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0)
        function = {"type": "function", "name": "weather", "parameters": schema, "strict": True}
        asked = {"model": "tiny", "input": "2+2?", "max_output_tokens": 200, "reasoning": {"effort": "none"}}
        made = client.responses.create(**asked, tools=[function], tool_choice="required", parallel_tool_calls=False)
        assert json.loads(made.output[-1].arguments)["unit"] in ("C", "F")
        form = {"type": "json_schema", "name": "weather", "schema": schema}
        made = client.responses.create(**asked, text={"format": form})
        assert isinstance(json.loads(made.output_text)["hot"], bool)
