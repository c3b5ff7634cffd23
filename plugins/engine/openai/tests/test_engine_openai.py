"""The engine beside servers that say what a test wrote down: what is sent, what is read, and what goes wrong."""

import asyncio
import math
import time
from pathlib import Path

import pytest
import tunesmith
from tunesmith import TunesmithError
from tunesmith.types import Conversation, ModelHandle, ModelSource, Request, Sampling, ToolCall
from tunesmith_engine_openai import OpenAI
from tunesmith_engine_openai.client import _wait
from tunesmith_library_configuration.handles import absent
from tunesmith_library_engine.chatting import Chat
from tunesmith_library_testing.parts import StubPlan, handle_of
from tunesmith_library_testing.served import served
from tunesmith_library_testing.suites.plugin import PluginSuite

ASKED = [{"role": "user", "content": "Why?"}]


class TestPlugin(PluginSuite):
    """What needs no server; the suite of engines is in `test_engine_openai_running`."""

    kind = "engine"
    plugin = OpenAI
    options = {"base_url": "http://localhost:8000/v1"}

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"base_url": "localhost:8000"}, "no address"),
            ({"server": "vlm"}, "vlm is no kind of server"),
            ({"base_url": "http://me:secret@localhost/v1"}, "more than host and path"),
            ({"base_url": "http://localhost/v1?key=secret"}, "more than host and path"),
            ({"api_key_env": "sk-secret"}, "environment variable, and this is none"),
            ({"api_key_env": "NOBODY_SET_THIS"}, "NOBODY_SET_THIS is not set"),
        ],
    )
    def test_what_is_refused(self, options, told):
        """Before anything is sent, and without the key."""
        (problem,) = self.make(**options).check(plan=StubPlan({}, command="chat"))
        assert told in problem.message and "secret" not in f"{problem.message}{problem.advice}"


def chunk(finish=None, **delta):
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def replying(*answers, models=({"id": "big"},)):
    """Gives the answers one after another; the last of them again and again."""
    left = list(answers)

    def reply(path, body):
        if path == "models":
            return {"data": list(models)}
        said = left.pop(0) if len(left) > 1 else left[0]
        return said(path, body) if callable(said) else said

    return reply


SAID = [chunk(role="assistant", content=""), chunk(content="Be"), chunk(content="cause."), chunk("stop")]


def overrides(server):
    return {"engine": "openai", "engine.base_url": server.url}


def elsewhere(server, **options):
    """What answers conversations with a model of which nothing is here."""
    handle = ModelHandle(ModelSource(Path(), "", "fp32", 0, False), None, absent, absent, absent, absent)
    return Chat(handle, OpenAI(base_url=server.url, **options).open_engine)


def ask(server, times=1, **options):
    """The answers, one behind the other."""
    answers = [""] * times
    with elsewhere(server, **options) as session:
        for piece in session.answer([ASKED] * times):
            answers[piece.index] += piece.text
    return "".join(answers)


def test_a_model_that_runs_elsewhere():
    """No model is named, and none is here: conversations go as they are, with names that OpenAI's server knows."""
    with served(replying(SAID)) as server:
        told = tunesmith.chat(None, [ASKED, ASKED], overrides(server), sampling=Sampling(temperature=0.0, seed=3))
    assert told == ["Because.", "Because."]
    (_, listed), *asked = server.asked
    assert listed is None and {path for path, _ in asked} == {"chat/completions"}
    bodies = sorted((body for _, body in asked), key=lambda body: body["seed"])
    assert [body["seed"] for body in bodies] == [3, 4]
    assert bodies[0] == {
        "model": "big",
        "messages": ASKED,
        "max_completion_tokens": 512,
        "temperature": 0.0,
        "seed": 3,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert all("Authorization" not in headers for headers in server.headers)


def test_thoughts_calls_and_tools():
    """All that a server tells apart arrives apart; what was said before is sent back in its words."""
    call = {"index": 0, "id": "a", "function": {"name": "tide", "arguments": '{"beach":'}}
    more = {"index": 0, "function": {"arguments": ' "north"}'}}
    said = [
        chunk(reasoning="Let me "),
        chunk(reasoning_content="see."),
        chunk(content="I look."),
        chunk(tool_calls=[call]),
        chunk(tool_calls=[more]),
        chunk("tool_calls"),
        {"choices": [], "usage": {"prompt_tokens": 20, "completion_tokens": 9}},
    ]
    tool = {"name": "tide", "description": "When it turns", "parameters": {"type": "object", "properties": {}}}
    messages = [
        *ASKED,
        {
            "role": "assistant",
            "content": "",
            "reasoning": "Hm.",
            "tool_calls": [{"function": {"name": "tide", "arguments": {"beach": "south"}}}],
        },
        {"role": "tool", "content": "6 am"},
    ]
    with served(replying(said, models=[{"id": "m", "owned_by": "vllm"}])) as server, elsewhere(server) as session:
        asked = Conversation(messages, [tool], {"enable_thinking": True, "reasoning_effort": "low"})
        pieces = list(session.answer([asked], Sampling(max_new_tokens=7, top_k=0), stop=["END"]))
        stats = session.engine.stats()
        assert (stats.prompt_tokens, stats.new_tokens, stats.answered) == (20, 9, 1)
    assert "".join(piece.text for piece in pieces) == "I look."
    assert "".join(piece.thought for piece in pieces) == "Let me see."
    calls = [call for piece in pieces for call in piece.calls]
    assert calls == [ToolCall(0, "tide", '{"beach":', "a"), ToolCall(0, "", ' "north"}')]
    assert pieces[-1].finish_reason == "stop" and not any(piece.finish_reason for piece in pieces[:-1])
    body = server.asked[-1][1]
    assert body["tools"] == [{"type": "function", "function": tool}]
    assert body["chat_template_kwargs"] == {"enable_thinking": True} and body["reasoning_effort"] == "low"
    assert (body["stop"], body["max_tokens"], body["top_k"]) == (["END"], 7, -1)
    _, before, answer = body["messages"]
    assert before["reasoning_content"] == "Hm."
    assert before["tool_calls"][0]["function"] == {"name": "tide", "arguments": '{"beach": "south"}'}
    assert answer["tool_call_id"] == before["tool_calls"][0]["id"]


def test_attempts(caplog, monkeypatch):
    """A busy server is asked again, when it says; a broken answer is not, nor a mistake of ours."""
    monkeypatch.setenv("A_KEY", "sk-very-secret")
    busy = (429, {"error": {"message": "slow down sk-very-secret"}}, {"Retry-After": "0.05"})
    wrong = (400, {"error": {"message": "messages: too many"}}, {})
    broken = [chunk(content="Be"), None]
    spent = (429, {"error": {"message": "pay", "code": "insufficient_quota"}}, {})
    with served(replying(busy, (503, b"<html>no</html>", {"Retry-After": "0"}), SAID)) as server:
        begun = time.monotonic()
        assert ask(server, api_key_env="A_KEY") == "Because."
        assert time.monotonic() - begun >= 0.05
    assert len(server.asked) == 4
    assert all(headers["Authorization"] == "Bearer sk-very-secret" for headers in server.headers)
    for answers, told, count in (
        ((wrong, SAID), r"status 400: messages: too many", 2),
        ((broken, SAID), "without saying why|broke within an answer", 2),
        ((spent, SAID), "status 429: pay", 2),
        (((429, {}, {"Retry-After": "3600"}), SAID), "status 429", 2),
        (([{"error": {"message": "out of memory"}}], SAID), "failed within an answer: out of memory", 2),
        (((302, {}, {"Location": "http://evil/"}), SAID), "sends elsewhere", 2),
        ((busy,), "status 429: slow down …", 4),
    ):
        with served(replying(*answers)) as server, pytest.raises(TunesmithError, match=told) as raised:
            ask(server, api_key_env="A_KEY", retries=2)
        assert len(server.asked) == count
        assert server.url in str(raised.value)
    assert "sk-very-secret" not in caplog.text


def test_a_key_that_is_wrong_is_not_one_that_lacks(monkeypatch):
    monkeypatch.setenv("A_KEY", "sk-very-secret")
    refused, forbidden = (401, {"error": {"message": "no"}}, {}), (403, {"error": {"message": "no"}}, {})
    for answer, more, told in (
        (refused, {}, r"wants a key: engine\.api_key_env=NAME"),
        (forbidden, {}, r"refuses who sends no key: engine\.api_key_env=NAME"),
        (refused, {"api_key_env": "A_KEY"}, "does not know the key that was sent, that of .* A_KEY"),
        (forbidden, {"api_key_env": "A_KEY"}, "refuses the key that was sent, that of .* A_KEY"),
    ):
        with served(replying(answer)) as server, pytest.raises(TunesmithError, match=told):
            ask(server, **more)


def test_nobody_is_there():
    with served(replying(SAID)) as server:
        pass
    with pytest.raises(TunesmithError, match=r"cannot be reached.*\n.*engine\.base_url"):
        ask(server, retries=0)


def test_silence_has_an_end():
    """A server that says nothing for `timeout` seconds is given up."""
    slow = replying(lambda *_: time.sleep(0.6) or SAID)
    with served(slow) as server, pytest.raises(TunesmithError, match=r"said nothing for 0\.2 s"):
        ask(server, timeout=0.2, retries=0)


def test_a_reader_that_leaves_closes_the_connection():
    """By which the server stops; other answers go on."""

    def slowly(path, body):
        for number in range(400):
            yield chunk(content=f"{number} ")
            time.sleep(0.01)

    with served(replying(slowly, SAID)) as server, elsewhere(server) as session:
        pieces = session.answer([ASKED])
        next(pieces)
        pieces.close()
        assert server.left.wait(20)
        assert "".join(piece.text for piece in session.answer([ASKED])) == "Because."
        session.engine.sleep()
        assert session.engine.stats().waiting == session.engine.stats().running == 0


def test_no_more_than_batch_size_at_a_time():
    open_now, most = [], []

    def counted(path, body):
        open_now.append(1)
        most.append(len(open_now))
        time.sleep(0.02)
        yield from SAID
        open_now.pop()

    with served(replying(counted)) as server:
        told = ask(server, 12, batch_size=3)
    assert told == "Because." * 12
    assert max(most) == 3


def test_what_a_server_does_not_know_is_refused():
    """Not left out, by which the answers would be others."""
    schema = Sampling(grammar='start: %json {"type": "object", "x-guidance": {}}')
    with served(replying(SAID)) as server, elsewhere(server) as session:
        for sampling, told in (
            (Sampling(top_k=4), "top_k=4"),
            (Sampling(min_p=0.5), "min_p"),
            (Sampling(grammar="start: /a+/"), "JSON Schemas, and no other"),
        ):
            with pytest.raises(TunesmithError, match=told):
                list(session.answer([ASKED], sampling))
        with pytest.raises(TunesmithError, match="enable_thinking"):
            list(session.answer([Conversation(ASKED, variables={"enable_thinking": False})]))
        for asked in (
            lambda engine: engine.submit(Request([5])),
            lambda engine: engine.score([[5, 6]]),
            lambda engine: engine.embed([[5, 6]]),
        ):
            with pytest.raises(TunesmithError, match=r"model\.path=MODEL"):
                asked(session.engine)
        with pytest.raises(TunesmithError, match=r"model\.path=MODEL"):
            session.handle.processor.encode("a")
        list(session.answer([ASKED], schema))
    assert server.asked[-1][1]["response_format"]["json_schema"]["schema"] == {"type": "object"}


def test_a_whole_answer_in_an_event_loop():
    """Text, thoughts and calls of all deltas."""
    with served(replying([chunk(reasoning="Hm"), *SAID])) as server, elsewhere(server) as session:
        request = session.request(Conversation(ASKED), Sampling())

        async def whole():
            return await session.engine.submit(request)

        told = asyncio.run(whole())
        assert told == session.engine.submit(request).result()
    assert (told.text, told.thought, told.finish_reason) == ("Because.", "Hm", "stop")


@pytest.fixture
def opened(tiny_llama, tiny_bpe):
    """Opens engines over tokens."""
    engines = []

    def open_engine(server, **options):
        plugin = OpenAI(base_url=server.url, **options)
        engines.append(plugin.open_engine(handle_of(tiny_llama, tiny_bpe)))
        return engines[-1]

    open_engine.handle = handle_of(tiny_llama, tiny_bpe)
    yield open_engine
    for engine in engines:
        engine.close()


VLLM = {"id": "m", "owned_by": "vllm", "max_model_len": 100}


def test_tokens(opened, tiny_bpe, caplog):
    """What is sent of token ids to each kind of server, and how it says which tokens its answer has."""
    end = tiny_bpe.eos_token_id
    tail = tiny_bpe.encode("whales", add_special_tokens=False)
    ids = [{"choices": [{"text": "", "token_ids": tail, "finish_reason": "stop", "stop_reason": None}]}]
    numbered = [{"choices": [{"text": "x", "logprobs": {"content": [{"id": 9, "logprob": -1.5}]}}]}]
    numbered += [{"choices": [{"text": "", "finish_reason": "length"}]}]
    text = [{"choices": [{"text": "wha"}]}, {"choices": [{"text": "les", "finish_reason": "stop"}]}]
    sampling = Sampling(max_new_tokens=5, stop_token_ids=(4,), logit_bias={7: -math.inf}, top_p=0.5)
    for entry, said, expected in (
        (VLLM, ids, (*tail, 4)),
        ({"id": "m", "owned_by": "llamacpp"}, numbered, (9,)),
        ({"id": "m"}, text, (*tail, 4)),
    ):
        with served(replying(said, models=[entry])) as server:
            told = opened(server).submit(Request([5, 6], sampling)).result()
        assert told.token_ids == expected
        body = server.asked[-1][1]
        assert (body["prompt"], body["max_tokens"], body["logit_bias"]) == ([5, 6], 5, {"7": -100.0})
        assert body.get("stop_token_ids") == ([4] if entry.get("owned_by") == "vllm" else None)
        assert body.get("stop") == (None if "owned_by" in entry else [tiny_bpe.decode([4]), tiny_bpe.decode([end])])
    assert sum("answers come as a whole" in record.message for record in caplog.records) <= 1


def test_probabilities(opened):
    """Of an answer's tokens, and of a prompt that the server repeats; one that does not is told."""
    said = {
        "tokens": ["token_id:8"],
        "token_logprobs": [-0.5],
        "top_logprobs": [{"token_id:9": -2, "token_id:8": -0.5}],
    }
    answer = [{"choices": [{"token_ids": [8], "logprobs": said, "finish_reason": "length"}]}]
    echo = {"tokens": ["a", "b", "c"], "token_logprobs": [None, -1.0, -3.0], "top_logprobs": [None, {}, {}]}
    with served(replying(answer, {"choices": [{"logprobs": echo}]}, {"choices": [{}]}, models=[VLLM])) as server:
        engine = opened(server)
        (told,) = engine.submit(Request([5], log_probs=2)).result().log_probs
        assert (told.value, list(told.alternatives.items())) == (-0.5, [(8, -0.5), (9, -2.0)])
        (scores,) = engine.score([[5, 6]])
        assert [one.value for one in scores] == [-1.0]
        with pytest.raises(TunesmithError, match="does not repeat prompts"):
            engine.score([[5, 6, 7]])
    assert server.asked[-1][1]["echo"] is True


def test_vectors(opened):
    """In the order of the texts, whatever the server's; one without them is told as such."""
    data = [{"index": 1, "embedding": [3, 4]}, {"index": 0, "embedding": [1, 2]}]
    with served(replying({"data": data}, (404, {"detail": "Not Found"}, {}), models=[VLLM])) as server:
        engine = opened(server)
        assert engine.embed([[5], [6, 7]]) == [[1.0, 2.0], [3.0, 4.0]]
        assert server.asked[-1][1]["input"] == [[5], [6, 7]]
        with pytest.raises(TunesmithError, match="has no vectors"):
            engine.embed([[5]])


def test_models_and_adapters(opened):
    """The name that is asked for, its adapters, and what there is where it is none of them."""
    models = [VLLM, {**VLLM, "id": "sea", "parent": "m"}, {**VLLM, "id": "other"}]
    answer = [{"choices": [{"token_ids": [8], "finish_reason": "length"}]}]
    with served(replying(answer, models=models)) as server:
        engine = opened(server)
        assert (engine.adapters, engine.context_length) == (("sea",), 100)
        assert engine.submit(Request([5], adapter="sea")).result().token_ids == (8,)
        assert server.asked[-1][1]["model"] == "sea"
        assert opened(server, model="other").adapters == ()
        with pytest.raises(TunesmithError, match=r"no model othr\.\n.*did you mean other"):
            opened(server, model="othr")
    with served(replying(answer, models=models)) as server:
        bare = OpenAI(base_url=server.url.removesuffix("/v1") + "/").open_engine(opened.handle)
        assert bare.submit(Request([5])).result().token_ids == (8,), "/v1 is found"
        bare.close()
    with served(lambda path, body: (404, {}, {})) as server, pytest.raises(TunesmithError, match=r"engine\.model=NAME"):
        opened(server)


def test_waits():
    assert _wait("2.5") == 2.5
    assert _wait("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert _wait(None) is None and _wait("soon") is None
    assert _wait("Wed, 21 Oct 2099 07:28:00 GMT") > 10**8


def test_options_of_a_model_that_is_not_here():
    """Are refused, not left out."""
    with served(replying(SAID)) as server, pytest.raises(TunesmithError, match="template") as raised:
        tunesmith.chat(None, [ASKED], {**overrides(server), "template": "chatml"})
    assert "model.path" in str(raised.value)
