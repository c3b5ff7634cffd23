"""/v1/responses by OpenAI's own client: items, thoughts, tools, events, what is remembered, mistakes."""

import json

import pytest

openai = pytest.importorskip("openai")
pytest.importorskip("tunesmith_template_qwen")

THOUGHT = "<think>\nTwo and two.\n</think>\n\nFour."
_ONE = '<tool_call>\n{"name": "add", "arguments": %s}\n</tool_call>'
CALL = "\n".join(["So:", _ONE % '{"a": 2}', _ONE % "{}"])
ADD = {"type": "function", "name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}


@pytest.fixture(scope="module")
def handle(tiny_llama):
    import tunesmith

    return tunesmith.open_model({"model": {"path": str(tiny_llama)}, "template": "qwen3"})


@pytest.fixture
def asking(serving):
    """`asking(*texts)` is a client of a server that says these one after the other, and what the engine was asked."""
    from tunesmith.types import Delta, LogProb

    def begin(*texts, reason="stop", **options):
        served = serving(model_name="tiny", **options)
        tokenizer, left = served.service.tokenizer, list(texts)

        def say(request, answer):
            some = (LogProb(-0.5, {5: -0.5}),) if request.log_probs is not None else ()
            for token in tokenizer.encode(left.pop(0) if len(left) > 1 else left[0], add_special_tokens=False):
                answer.put(Delta((token,), some))
            ends = (tokenizer.convert_tokens_to_ids("<|im_end|>"),) if reason == "stop" else ()
            answer.put(Delta(ends, some if ends else (), reason))

        served.engine.on_submit = say
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{served.port}/v1", api_key="any", max_retries=0, timeout=20)

        def prompts():
            return [tokenizer.decode(request.prompt) for request in served.engine.requests]

        return client, prompts, served

    return begin


def test_a_thought_and_an_answer(asking):
    client, prompts, served = asking(THOUGHT)
    made = client.responses.create(
        model="tiny", input="2+2?", instructions="Be brief.", max_output_tokens=99, temperature=0.5, metadata={"a": "b"}
    )
    assert made.output_text == "Four." and made.status == "completed" and made.id.startswith("resp_")
    thought, message = made.output
    assert (thought.type, thought.content[0].text, thought.summary) == ("reasoning", "Two and two.", [])
    assert (message.role, message.status, message.content[0].type) == ("assistant", "completed", "output_text")
    assert (made.instructions, made.temperature, made.metadata) == ("Be brief.", 0.5, {"a": "b"})
    (request,) = served.engine.requests
    assert (request.sampling.max_new_tokens, request.sampling.temperature) == (99, 0.5)
    count = len(served.service.tokenizer.encode(THOUGHT, add_special_tokens=False)) + 1
    assert (made.usage.input_tokens, made.usage.output_tokens) == (len(request.prompt), count)
    assert 0 < made.usage.output_tokens_details.reasoning_tokens < count
    assert made.usage.total_tokens == len(request.prompt) + count
    assert prompts() == [
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n"
    ]


def test_a_thought_is_the_summary_if_one_is_asked_for(asking):
    client, prompts, _ = asking(THOUGHT)
    made = client.responses.create(model="tiny", input="2+2?", reasoning={"effort": "low", "summary": "auto"})
    assert made.output[0].summary[0].text == "Two and two." and not made.output[0].content
    client.responses.create(model="tiny", input="2+2?", reasoning={"effort": "none"})
    assert prompts()[1].endswith("assistant\n<think>\n\n</think>\n\n")


def test_the_events_of_a_stream(asking):
    client, _, _ = asking(THOUGHT + CALL)
    events = list(client.responses.create(model="tiny", input="2+2?", tools=[ADD], stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    item = ["response.output_item.added", "response.content_part.added"]
    names = [event.type for event in events]
    assert [name for name, before in zip(names, ["", *names], strict=False) if name != before] == [
        *("response.created", "response.in_progress"),
        *(*item, "response.reasoning_text.delta", "response.reasoning_text.done", "response.content_part.done"),
        "response.output_item.done",
        *(*item, "response.output_text.delta", "response.output_text.done", "response.content_part.done"),
        "response.output_item.done",
        *["response.output_item.added", "response.function_call_arguments.delta"],
        *["response.function_call_arguments.done", "response.output_item.done"],
        *["response.output_item.added", "response.function_call_arguments.delta"],
        *["response.function_call_arguments.done", "response.output_item.done"],
        "response.completed",
    ]
    made = events[-1].response
    assert [item.type for item in made.output] == ["reasoning", "message", "function_call", "function_call"]
    assert [json.loads(item.arguments) for item in made.output[2:]] == [{"a": 2}, {}]
    assert made.output[2].call_id != made.output[3].call_id and made.output[2].id != made.output[2].call_id
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == made.output_text == "Four.So:"
    done = [event for event in events if event.type == "response.output_item.done"]
    assert [event.item for event in done] == made.output and [event.output_index for event in done] == [0, 1, 2, 3]
    with client.responses.stream(model="tiny", input="2+2?", tools=[ADD]) as stream:
        stream.until_done()
        assert stream.get_final_response().output_text == "Four.So:"


def test_calls_and_their_results(asking):
    client, prompts, _ = asking(CALL, "Four.")
    items = [
        {"role": "developer", "content": "Add."},
        {"role": "user", "content": [{"type": "input_text", "text": "2?"}]},
    ]
    made = client.responses.create(model="tiny", input=items, tools=[ADD], instructions="Be brief.", store=False)
    items += [item.model_dump(exclude_none=True) for item in made.output]
    calls = [item for item in made.output if item.type == "function_call"]
    items += [{"type": "function_call_output", "call_id": call.call_id, "output": "4"} for call in calls]
    assert client.responses.create(model="tiny", input=items, tools=[ADD]).output_text == "Four."
    assert prompts()[0].startswith("<|im_start|>system\nBe brief.\n\nAdd.\n\n# Tools")
    assert prompts()[1].endswith(
        "<|im_start|>user\n2?<|im_end|>\n<|im_start|>assistant\nSo:\n"
        '<tool_call>\n{"name": "add", "arguments": {"a": 2}}\n</tool_call>\n'
        '<tool_call>\n{"name": "add", "arguments": {}}\n</tool_call><|im_end|>\n<|im_start|>user\n'
        "<tool_response>\n4\n</tool_response>\n<tool_response>\n4\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
    )


def test_an_earlier_response_is_gone_on_from(asking):
    client, prompts, _ = asking(THOUGHT, "Five.", "Six.")
    first = client.responses.create(model="tiny", input="2+2?", instructions="Be brief.")
    second = client.responses.create(model="tiny", input="And?", previous_response_id=first.id)
    third = client.responses.create(model="tiny", input="And?", previous_response_id=second.id)
    assert third.previous_response_id == second.id
    said = (
        "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\nFour.<|im_end|>\n<|im_start|>user\nAnd?<|im_end|>\n"
    )
    begins = "<|im_start|>assistant\n"
    assert prompts()[1:] == [
        said + begins,
        f"{said}{begins}Five.<|im_end|>\n<|im_start|>user\nAnd?<|im_end|>\n{begins}",
    ]
    assert client.responses.retrieve(second.id) == second
    given = client.responses.input_items.list(third.id, order="asc", limit=3)
    assert [item.type for item in given.data] == ["message", "reasoning", "message"] and given.has_more
    rest = client.responses.input_items.list(third.id, order="asc", after=given.last_id)
    assert [item.content[0].text for item in rest.data] == ["And?", "Five.", "And?"]
    named = [{"type": "item_reference", "id": third.output[0].id}, {"role": "user", "content": "So?"}]
    client.responses.create(model="tiny", input=named)
    assert prompts()[-1] == f"{begins}Six.<|im_end|>\n<|im_start|>user\nSo?<|im_end|>\n{begins}"
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError, match="there is no response"):
        client.responses.retrieve(first.id)
    with pytest.raises(openai.BadRequestError, match="to go on from") as caught:
        client.responses.create(model="tiny", input="And?", previous_response_id=first.id)
    assert caught.value.code == "previous_response_not_found" and caught.value.param == "previous_response_id"


@pytest.mark.slow  # the store is tried by itself below
def test_what_is_kept_has_an_end(asking):
    client, _, _ = asking("Four.", max_stored_responses=2)
    made = [client.responses.create(model="tiny", input=str(n)) for n in range(3)]
    unstored = client.responses.create(model="tiny", input="4", store=False)
    for gone in (made[0], unstored):
        with pytest.raises(openai.NotFoundError, match="the last 2 are kept"):
            client.responses.retrieve(gone.id)
    assert [client.responses.retrieve(kept.id).id for kept in made[1:]] == [kept.id for kept in made[1:]]


def test_an_answer_that_was_cut_off(asking):
    client, _, _ = asking("Two", reason="length")
    made = client.responses.create(model="tiny", input="2?", max_output_tokens=2)
    assert (made.status, made.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert made.output[0].status == "incomplete"
    *_, last = client.responses.create(model="tiny", input="2?", max_output_tokens=2, stream=True)
    assert last.type == "response.incomplete" and last.response.output_text == "Two"


def test_a_response_that_is_being_made_is_cancelled(asking, soon):
    from tunesmith.types import Delta

    client, _, served = asking("")
    token = served.service.tokenizer.encode("T")[0]
    served.engine.on_submit = lambda request, answer: answer.put(Delta((token,)))
    stream = client.responses.create(model="tiny", input="2?", stream=True)
    name = next(stream).response.id
    assert client.responses.retrieve(name).status == "in_progress"
    with pytest.raises(openai.BadRequestError, match="not ended"):
        client.responses.create(model="tiny", input="2?", previous_response_id=name)
    assert client.responses.cancel(name).status == "cancelled"
    *_, last = stream
    assert last.response.status == "cancelled" and served.engine.answers[0].ended
    assert client.responses.retrieve(name).status == client.responses.cancel(name).status == "cancelled"
    hung_up = client.responses.create(model="tiny", input="2?", stream=True)
    name = next(hung_up).response.id
    hung_up.close()
    soon(lambda: served.engine.answers[1].ended)
    soon(lambda: client.responses.retrieve(name).status == "cancelled")


def test_log_probabilities_are_those_of_the_text(asking):
    client, _, _ = asking(THOUGHT)
    made = client.responses.create(model="tiny", input="2?", include=["message.output_text.logprobs"], top_logprobs=1)
    found = made.output[1].content[0].logprobs
    assert "".join(each.token for each in found).replace("<|im_end|>", "").strip().endswith("Four.")
    assert {each.logprob for each in found} == {-0.5} and len(found[0].top_logprobs) == 1


def test_the_form_of_the_text_becomes_a_grammar(asking):
    client, _, served = asking("{}")
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "name": "x", "schema": schema, "strict": True}
    made = client.responses.create(model="tiny", input="2?", text={"format": form})
    assert '"a"' in served.engine.requests[0].sampling.grammar and made.text.format.schema_ == schema
    client.responses.create(model="tiny", input="2?", text={"format": {"type": "json_object"}})
    assert served.engine.requests[1].sampling.grammar


MISTAKES = [
    ({"background": True}, "background"),
    ({"tools": [{"type": "web_search"}]}, "tools[0]"),
    ({"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}, "tools[0]"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"conversation": "conv_1"}, "conversation"),
    ({"truncation": "auto"}, "truncation"),
    ({"include": ["file_search_call.results"]}, "include"),
    ({"input": []}, "input"),
    ({"input": None}, "input"),
    ({"input": [{"type": "web_search_call", "id": "x"}]}, "input[0]"),
    ({"input": [{"type": "function_call_output", "call_id": "x", "output": "4"}]}, "input[0].call_id"),
    ({"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "x"}]}]}, "input[0].content[0]"),
    ({"input": [{"content": "2?"}]}, "input[0]"),
    ({"text": {"format": {"type": "xml"}}}, "text.format"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
]


def test_mistakes_name_their_field(asking):
    client, _, served = asking("Four.")
    for changed, param in MISTAKES:
        with pytest.raises(openai.BadRequestError) as caught:
            client.post("/responses", body={"model": "tiny", "input": "2?", **changed}, cast_to=object)
        assert caught.value.param == param, caught.value
    assert not served.engine.requests


def test_an_error_is_the_last_event(asking):
    client, _, served = asking("")
    served.engine.on_submit = lambda request, answer: answer.fail(RuntimeError("inside"))
    *_, last = client.responses.create(model="tiny", input="2?", stream=True)
    assert (last.type, last.response.status) == ("response.failed", "failed")
    assert last.response.error.code == "server_error" and "inside" not in last.response.error.message
    assert client.responses.retrieve(last.response.id).status == "failed"
    with pytest.raises(openai.InternalServerError):
        client.responses.create(model="tiny", input="2?")


def test_the_store_forgets_the_oldest_and_what_failed(monkeypatch):
    from tunesmith_command_api import responses_store
    from tunesmith_command_api.responses_store import Store, Stored

    def stored(name, text=""):
        return Stored({"id": name, "output": [{"id": f"{name}_item", "text": text}]}, [])

    monkeypatch.setattr(responses_store, "_MOST_BYTES", 3500)
    store = Store(9)
    made = [stored(name, "x" * 1000) for name in "abc"]
    for each in made:
        store.put(each)
    store.put(stored("d", "x" * 1000))
    assert [store.get(name).response["id"] for name in "bcd"] == ["b", "c", "d"]
    store.put(stored("e", "x" * 5000))  # alone it may be as large as a request may
    assert store.item("e_item", "input[0]")["id"] == "e_item"
    for gone in "abcd":
        with pytest.raises(responses_store.ApiError):
            store.get(gone)
    store.drop(store.get("e"))
    store.renew(made[0])
    with pytest.raises(responses_store.ApiError, match="there is no item"):
        store.item("e_item", "input[0]")
