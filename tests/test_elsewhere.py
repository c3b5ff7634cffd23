"""A model behind `tunesmith api`, asked by `engine=openai`: what it answers is what it answers here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tunesmith
from tunesmith import TunesmithError
from tunesmith.types import Conversation, Engine, Request, Sampling
from tunesmith_library_engine.chatting import Chat
from tunesmith_library_testing.suites.engine_model import CONVERSATIONS, requests_of

pytestmark = pytest.mark.slow

GREEDY = Sampling(max_new_tokens=12, temperature=0.0)
GREEDY_8 = Sampling(max_new_tokens=8, temperature=0.0)


@pytest.fixture(scope="module")
def served(tiny_llama: Path) -> Iterator[Any]:
    choices = {"model.path": str(tiny_llama), "template": "chatml", "precision": "fp32"}
    with tunesmith.Server(None, choices, port=0) as server:
        yield server


@pytest.fixture(scope="module")
def here(served: Any) -> Engine:
    engine: Engine = served.service.engine
    return engine


@pytest.fixture(scope="module")
def there(served: Any, tiny_llama: Path) -> Iterator[Chat]:
    """The same model by its tokenizer, without its weights."""
    model = {"model.path": str(tiny_llama), "template": "chatml"}
    with tunesmith.ChatSession(None, {**model, "engine": "openai", "engine.base_url": f"{served.url}/v1"}) as session:
        yield session


def test_tokens(here: Engine, there: Chat, tiny_bpe: Any) -> None:
    """Token ids go there and come back, with log-probabilities and alternatives; by seeds and grammars too."""
    assert there.engine.context_length == here.context_length
    asked = requests_of(tiny_bpe, GREEDY)
    asked += [Request(asked[0].prompt, Sampling(max_new_tokens=9, temperature=1.0, seed=seed)) for seed in (1, 2)]
    asked += [Request(asked[0].prompt, Sampling(max_new_tokens=9, grammar='start: "yes" | "no"'))]
    asked += [Request(asked[0].prompt, Sampling(max_new_tokens=4, logit_bias={5: 100.0}, stop_token_ids=(5,)))]
    for request in asked:
        deltas = list(there.engine.submit(Request(request.prompt, request.sampling, log_probs=2)))
        expected = here.submit(Request(request.prompt, request.sampling, log_probs=2)).result()
        told = [token for delta in deltas for token in delta.token_ids]
        assert (tuple(told), deltas[-1].finish_reason) == (expected.token_ids, expected.finish_reason)
        found = [one for delta in deltas for one in delta.log_probs]
        for one, other in zip(found, expected.log_probs, strict=True):
            assert one.value == pytest.approx(other.value, abs=1e-4)
            assert list(one.alternatives) == list(other.alternatives)
    assert len(deltas) == 1 and len(list(there.engine.submit(asked[0]))) > 1, "it streams"


def test_scores_and_vectors(here: Engine, there: Chat, tiny_bpe: Any) -> None:
    sequences = [request.prompt for request in requests_of(tiny_bpe, GREEDY)]
    for told, expected in zip(
        there.engine.score(sequences, alternatives=3), here.score(sequences, alternatives=3), strict=True
    ):
        assert [one.value for one in told] == pytest.approx([one.value for one in expected], abs=1e-4)
        assert [list(one.alternatives) for one in told] == [list(one.alternatives) for one in expected]
    for told_vector, vector in zip(there.engine.embed(sequences), here.embed(sequences), strict=True):
        length = sum(value * value for value in vector) ** 0.5
        assert told_vector == pytest.approx([value / length for value in vector], abs=1e-4) or told_vector == (
            pytest.approx(vector, abs=1e-4)
        )


def test_conversations(served: Any, there: Chat) -> None:
    """With the tokenizer here, and with nothing here, the same is said as where it runs."""
    template, processor, engine = served.service.template, served.service.processor, served.service.engine
    answers = [engine.submit(template.request(processor, asked, GREEDY)) for asked in CONVERSATIONS]
    expected = list(template.read(processor, answers))
    nothing = {"engine": "openai", "engine.base_url": f"{served.url}/v1"}
    with tunesmith.ChatSession(None, nothing) as session:
        for other in (there, session):
            told = list(other.answer(CONVERSATIONS, GREEDY))
            assert _texts(told) == _texts(expected)
        with pytest.raises(TunesmithError, match="status 400"):
            list(session.answer([Conversation(({"role": "user", "content": 7},))], GREEDY))


def test_predictions(served: Any, tmp_path: Path) -> None:
    """A data set is answered with nothing of the model here; what needs its tokenizer is refused with what to do."""
    from tunesmith_command_predict.predicting import predict

    rows = [{"messages": [{"role": "user", "content": text}]} for text in ("Sing!", "Who are you?")]
    (tmp_path / "test.json").write_text(json.dumps(rows))
    asked = {
        **{"engine": "openai", "engine.base_url": f"{served.url}/v1", "engine.temperature": 0},
        **{"engine.max_new_tokens": 8, "data.eval": [str(tmp_path / "test.json")], "data.cache": False},
    }
    words = [f"{key}={json.dumps(value)}" for key, value in asked.items()]
    written = predict(None, words, output=tmp_path / "out.jsonl")
    told = [json.loads(line)["prediction"] for line in written.read_text(encoding="utf-8").splitlines()]
    here = {"model.path": str(served.service.handle.source.path), "template": "chatml", "precision": "fp32"}
    expected = tunesmith.chat(None, [row["messages"] for row in rows], here, sampling=GREEDY_8)
    assert told == expected
    with pytest.raises(TunesmithError, match=r"model\.path=MODEL"):
        tunesmith.evaluate(None, {**asked, "evaluator": ["perplexity"]})


def _texts(pieces: list[Any]) -> dict[int, str]:
    return {index: "".join(piece.text for piece in pieces if piece.index == index) for index in range(3)}
