"""Completions and tokens: what of a request reaches the engine, and what of its tokens reaches a client."""

from __future__ import annotations

import math
from typing import Any

import pytest
from tunesmith.types import Delta, LogProb

COMPLETIONS = "/v1/completions"
TEXT = "Grüße 数字"


def tokens(served: Any, text: str) -> list[int]:
    found: list[int] = served.service.tokens_of(text, False)
    return found


def saying(*said: tuple[int, ...], log_prob: float = -1.0) -> Any:
    """An engine whose answers, one after the other, are these tokens."""
    left = list(said)

    def on_submit(request: Any, answer: Any) -> None:
        ids = left.pop(0) if len(left) > 1 else left[0]
        for place, token in enumerate(ids):
            found = (LogProb(log_prob * token, {token: log_prob}),) if request.log_probs is not None else ()
            answer.put(Delta((token,), found, "length" if place == len(ids) - 1 else None))

    return on_submit


def scored(served: Any) -> None:
    """An engine that scores: token t has -t, and the likeliest is 40."""

    def score(sequences: Any, *, alternatives: int = 0, adapter: Any = None) -> Any:
        top = {40: -0.5} if alternatives else {}
        return [tuple(LogProb(-float(token), top) for token in sequence[1:]) for sequence in sequences]

    served.engine.score = score


def test_prompts_in_all_forms(serving: Any) -> None:
    served = serving()
    served.engine.on_submit = saying((40, 41))
    ids = tokens(served, TEXT)
    forms = (TEXT, [TEXT], ids, [ids], [TEXT, "more"], [ids, ids[:1]])
    for form, count in zip(forms, (1, 1, 1, 1, 2, 2), strict=True):
        del served.engine.requests[:]
        reply = served.client.post(COMPLETIONS, json={"prompt": form, "add_special_tokens": False}).json()
        assert len(served.engine.requests) == len(reply["choices"]) == count
        assert list(served.engine.requests[0].prompt) == ids
        assert served.engine.requests[0].sampling.max_new_tokens == 16, "the default of OpenAI's API"
        assert [choice["index"] for choice in reply["choices"]] == list(range(count))
        assert reply["object"] == "text_completion"
        prompts = sum(len(request.prompt) for request in served.engine.requests)
        assert reply["usage"]["prompt_tokens"] == prompts and reply["usage"]["completion_tokens"] == 2 * count


def test_echo_and_log_probabilities_of_a_prompt(serving: Any) -> None:
    served = serving()
    scored(served)
    ids = tokens(served, TEXT)
    new = tokens(served, "数")
    served.engine.on_submit = saying(tuple(new))
    body = {"prompt": ids, "echo": True, "logprobs": 1, "max_tokens": 9}
    (choice,) = served.client.post(COMPLETIONS, json=body).json()["choices"]
    assert choice["text"] == TEXT + "数"
    found = choice["logprobs"]
    assert found["token_logprobs"] == [None, *(-float(token) for token in [*ids[1:], *new])]
    assert found["top_logprobs"][0] is None
    words = served.service.words
    assert found["top_logprobs"][1] == {words.name_of(40): -0.5, words.name_of(ids[1]): -float(ids[1])}
    assert found["tokens"] == [words.name_of(token) for token in [*ids, *new]]
    whole, at = (TEXT + "数").encode(), 0
    for token, offset in zip([*ids, *new], found["text_offset"], strict=True):
        assert offset == len(whole[:at].decode("utf-8", "ignore"))
        at += len(words.bytes_of(token))
    del served.engine.requests[:]
    alone = served.client.post(COMPLETIONS, json={**body, "max_tokens": 0}).json()
    assert alone["choices"][0]["text"] == TEXT and alone["choices"][0]["finish_reason"] == "length"
    assert alone["choices"][0]["logprobs"]["token_logprobs"] == found["token_logprobs"][: len(ids)]
    assert not served.engine.requests and alone["usage"]["completion_tokens"] == 0


def test_streams_of_several_prompts(serving: Any, events: Any) -> None:
    served = serving()
    scored(served)
    new = tokens(served, "数字")
    served.engine.on_submit = saying(tuple(new))
    body = {"prompt": [TEXT, "b"], "n": 2, "stream": True, "echo": True, "logprobs": 0}
    response = served.client.post(COMPLETIONS, json={**body, "stream_options": {"include_usage": True}})
    *chunks, usage = events(response)
    assert usage["choices"] == [] and usage["usage"]["completion_tokens"] == 4 * len(new)
    whole = served.client.post(COMPLETIONS, json={**body, "stream": False}).json()
    for index in range(4):
        own = [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]
        assert "".join(choice["text"] for choice in own) == (TEXT if index < 2 else "b") + "数字"
        assert [choice["finish_reason"] for choice in own] == [None] * (len(own) - 1) + ["length"]
        parts = [choice["logprobs"] for choice in own if choice["logprobs"]]
        joined = {name: [value for part in parts for value in part[name]] for name in parts[0]}
        assert joined == whole["choices"][index]["logprobs"], "offsets go on from chunk to chunk"


def test_tokens_by_their_numbers(serving: Any, events: Any) -> None:
    """As vLLM's clients ask for them: beside the text, and in log-probabilities in the place of their texts."""
    served = serving()
    scored(served)
    ids, new = tokens(served, TEXT), tokens(served, "数")
    served.engine.on_submit = saying(tuple(new))
    body = {"prompt": ids, "echo": True, "logprobs": 1, "return_token_ids": True, "return_tokens_as_token_ids": True}
    (choice,) = served.client.post(COMPLETIONS, json=body).json()["choices"]
    assert choice["token_ids"] == new
    assert choice["logprobs"]["tokens"] == [f"token_id:{token}" for token in [*ids, *new]]
    assert choice["logprobs"]["top_logprobs"][1] == {"token_id:40": -0.5, f"token_id:{ids[1]}": -float(ids[1])}
    plain = {"prompt": ids, "stream": True, "return_token_ids": True}
    chunks = events(served.client.post(COMPLETIONS, json=plain))
    told = [token for chunk in chunks for choice in chunk["choices"] for token in choice["token_ids"]]
    assert told == new
    assert "token_ids" not in served.client.post(COMPLETIONS, json={"prompt": ids}).json()["choices"][0]


def test_the_best_of_several_are_the_likeliest(serving: Any) -> None:
    served = serving()
    served.engine.on_submit = saying((50,), (40, 40), (45,), (41,), log_prob=-1.0)
    reply = served.client.post(COMPLETIONS, json={"prompt": "x", "best_of": 4, "n": 2}).json()
    words = served.service.words
    assert [choice["text"] for choice in reply["choices"]] == [words.text_of(40) * 2, words.text_of(41)]
    assert reply["usage"]["completion_tokens"] == 5, "all that were computed"
    assert all(choice["logprobs"] is None for choice in reply["choices"])


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"suffix": "x"}, "suffix"),
    ({"best_of": 1, "n": 2}, "best_of"),
    ({"best_of": 2, "stream": True}, "best_of"),
    ({"min_tokens": 1}, "min_tokens"),
    ({"prompt_logprobs": 1}, "prompt_logprobs"),
    ({"truncate_prompt_tokens": 1}, "truncate_prompt_tokens"),
    ({"truncate_prompt_tokens": 1, "echo": True, "max_tokens": 0}, "truncate_prompt_tokens"),
    ({"allowed_token_ids": [40]}, "allowed_token_ids"),
    ({"detokenize": False}, "detokenize"),
    ({"stop_token_ids": [99999999]}, "stop_token_ids"),
    ({"prompt_embeds": "x"}, "prompt_embeds"),
    ({"logprobs": 21}, "logprobs"),
    ({"prompt": ""}, "prompt"),
    ({"prompt": []}, "prompt"),
    ({"prompt": [[]]}, "prompt"),
    ({"prompt": [-1]}, "prompt"),
    ({"prompt": [10**9]}, "prompt"),
    ({"prompt": [40] * 3000}, "prompt"),
    ({"prompt": None}, "prompt"),
    ({"guided_regex": "("}, "guided_regex"),
]


def test_what_cannot_be_honoured_is_refused_by_name(serving: Any) -> None:
    served = serving()
    for changed, param in REFUSED:
        body = {"prompt": "x", "add_special_tokens": False, **changed}
        reply = served.client.post(COMPLETIONS, json=body)
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, param), changed
    assert not served.engine.requests
    known = {"prompt": "x", "user": "ann", "suffix": "", "best_of": 1}
    served.engine.on_submit = saying((40,))
    reply = served.client.post(COMPLETIONS, json={**known, "other": 1})
    assert reply.status_code == 200 and reply.headers["x-tunesmith-ignored-fields"] == "other"


def test_tokens_of_texts_and_conversations_and_back(serving: Any) -> None:
    served = serving()
    post = served.client.post
    found = post("/tokenize", json={"prompt": TEXT, "add_special_tokens": False, "return_token_strs": True}).json()
    assert found["tokens"] == tokens(served, TEXT) and found["count"] == len(found["tokens"])
    assert found["max_model_len"] == served.engine.context_length
    assert found["token_strs"] == [served.service.words.text_of(token) for token in found["tokens"]]
    assert post("/detokenize", json={"tokens": found["tokens"]}).json() == {"prompt": TEXT}
    served.engine.on_submit = saying((40,))
    post("/v1/chat/completions", json=served.chat())
    assert post("/tokenize", json=served.chat()).json()["tokens"] == list(served.engine.requests[0].prompt)
    for body, param in (({}, "prompt"), ({"prompt": "x", "messages": served.chat()["messages"]}, "prompt")):
        assert post("/tokenize", json=body).json()["error"]["param"] == param
    assert post("/detokenize", json={"tokens": [-1]}).json()["error"]["param"] == "tokens"


def test_the_page_of_routes_needs_nothing_from_elsewhere(serving: Any) -> None:
    served = serving()
    page = served.client.get("/docs").text
    assert "/v1/chat/completions" in page and "frequency_penalty" in page
    assert "http:" not in page and "https:" not in page and "<script" not in page
    assert "/v1/completions" in served.client.get("/openapi.json").json()["paths"]
    assert "servers" not in served.client.get("/openapi.json").json()
    behind = serving(root_path="/model").client
    assert behind.get("/openapi.json").json()["servers"] == [{"url": "/model"}]
    assert behind.get("/v1/models").json()["data"], "a proxy takes the path off"


@pytest.mark.parametrize("written", ["▁数", "<0xE6>", "Ġx"])
def test_the_bytes_of_tokens_of_other_tokenizers(written: str) -> None:
    """Llama's kind: a mark for spaces, and bytes by their number."""
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast
    from tunesmith_command_api.log_probs import Words

    backend = Tokenizer(models.BPE({written: 0, "<unk>": 1}, [], unk_token="<unk>", byte_fallback=True))
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    backend.decoder = decoders.Sequence(steps)
    words = Words(PreTrainedTokenizerFast(tokenizer_object=backend))
    expected = {"▁数": " 数".encode(), "<0xE6>": b"\xe6", "Ġx": "Ġx".encode()}
    assert words.bytes_of(0) == expected[written] and words.bytes_of(99) == b""
    assert words.name_of(0) == (r"bytes:\xe6" if written == "<0xE6>" else expected[written].decode())


def test_what_cannot_be_is_a_number_all_the_same() -> None:
    from tunesmith_command_api.log_probs import finite

    assert finite(-math.inf) == -9999.0 and finite(-2.5) == -2.5
    assert finite(math.nan) == -9999.0


def test_what_ended_an_answer_is_named(serving: Any, events: Any) -> None:
    """As vLLM does in `stop_reason`: the string, or the token; nothing where the model ended by itself."""
    served = serving()
    (x,), (y,) = tokens(served, "x"), tokens(served, "y")
    ended: dict[str, Any] = {"of": ()}

    def on_submit(request: Any, answer: Any) -> None:
        *before, last = ended["of"]
        for token in before:
            answer.put(Delta((token,)))
        answer.put(Delta((last,), (), ended["reason"]))

    served.engine.on_submit = on_submit
    cases: list[tuple[tuple[int, ...], str, dict[str, Any], str | int | None]] = [
        ((x, *tokens(served, "数字"), x), "length", {"stop": ["no", "字"]}, "字"),  # inside of tokens
        ((x, y), "stop", {"stop": "y"}, "y"),  # one token, which the engine ends by
        ((x, y), "stop", {"stop_token_ids": [y]}, y),
        ((x, 0), "stop", {"stop": "y", "stop_token_ids": [y]}, None),  # 0 is the end of the engine's
        ((x, y), "length", {"stop_token_ids": [x]}, None),
    ]
    for said, reason, changed, expected in cases:
        ended.update(of=said, reason=reason)
        asks: list[tuple[str, dict[str, Any]]] = [
            (COMPLETIONS, {"prompt": "a"}),
            ("/v1/chat/completions", served.chat()),
        ]
        for path, asked in asks:
            whole = served.client.post(path, json={**asked, **changed}).json()["choices"][0]
            streamed = events(served.client.post(path, json={**asked, **changed, "stream": True}))[-1]["choices"][0]
            assert whole["stop_reason"] == streamed["stop_reason"] == expected, (path, changed)
    ended.update(of=(x, *tokens(served, "字"), x), reason="length")
    chosen = served.client.post(COMPLETIONS, json={"prompt": "a", "stop": "字", "n": 2, "best_of": 3}).json()
    assert [choice["stop_reason"] for choice in chosen["choices"]] == ["字", "字"]


def test_tokens_begin_behind_characters_that_they_break_off(serving: Any, events: Any) -> None:
    """The text is `bytes.decode("utf-8", "replace")`: a sequence that is broken off is one U+FFFD."""
    served = serving()
    scored(served)
    words = served.service.words
    by_bytes = {words.bytes_of(token): token for token in reversed(range(served.service.vocabulary))}
    cases: list[tuple[list[bytes], list[int]]] = [
        ([b"x", b"\xe0", b"h", b"m"], [0, 1, 2, 3]),
        ([b"x", b"\xf0", b"\x9f", b"h"], [0, 1, 1, 2]),
        ([b"x", b"\xe0", b"\xe0", b"h", b"m"], [0, 1, 2, 3, 4]),
        ([b"x", b"\xe6", b"\x95", b"\xb0", b"h"], [0, 1, 1, 1, 2]),
        ([b"x", b"\xe6", b"\xc3", b"\xbc", b"h"], [0, 1, 2, 2, 3]),
        ([b"x", b"h", b"\xe6", b"\x95"], [0, 1, 2, 2]),  # the end of it is not shown
    ]
    for parts, expected in cases:
        ids = [by_bytes[part] for part in parts]
        served.engine.on_submit = saying(tuple(ids))
        for body, places in (
            ({"prompt": "a", "max_tokens": 9}, expected),
            ({"prompt": ids, "max_tokens": 9, "echo": True}, None),
            ({"prompt": ids, "max_tokens": 0, "echo": True}, expected),
        ):
            asked = {"logprobs": 0, "add_special_tokens": False, **body}
            (whole,) = served.client.post(COMPLETIONS, json=asked).json()["choices"]
            found = whole["logprobs"]["text_offset"]
            chunks = events(served.client.post(COMPLETIONS, json={**asked, "stream": True}))
            tables = [chunk["choices"][0]["logprobs"] for chunk in chunks]
            assert [at for table in tables if table for at in table["text_offset"]] == found, "the same in pieces"
            if places is not None:
                assert found == places, parts
                for part, at in zip(parts, found, strict=True):
                    assert not part.isascii() or whole["text"][at : at + len(part)] == part.decode()
