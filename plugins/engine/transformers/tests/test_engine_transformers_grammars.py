"""Answers of the transformers engine that follow a grammar, beside all else that a request may ask."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tunesmith import TunesmithError
from tunesmith.types import Engine, Request, Sampling
from tunesmith_engine_transformers import Transformers
from tunesmith_library_engine import grammars
from tunesmith_library_testing.parts import handle_of, load_plain
from tunesmith_library_testing.schemas import follow_schemas, random_schema
from tunesmith_library_testing.suites.engine_model import _log_probs

NAMES = {"type": "array", "items": {"type": "string", "maxLength": 4}, "minItems": 2, "maxItems": 3}
"""A short list of short texts."""


@pytest.fixture(scope="module")
def engine(tiny_llama: Path, tiny_bpe: Any) -> Iterator[Engine]:
    engine = Transformers().open_engine(handle_of(tiny_llama, tiny_bpe, load=lambda: load_plain(tiny_llama)))
    yield engine
    engine.close()


def asked(tokenizer: Any, grammar: str, told: int | None = None, **sampling: Any) -> Request:
    wanted = {"max_new_tokens": 200, "temperature": 1.0, "seed": 1, **sampling}
    return Request(tokenizer.encode("Who?"), Sampling(grammar=grammar, **wanted), log_probs=told)


def test_schemas(engine: Engine, tiny_bpe: Any) -> None:
    rng = random.Random(7)
    follow_schemas(engine, tiny_bpe, [random_schema(rng, 1) for _ in range(8)])


@pytest.mark.slow
def test_a_hundred_schemas(engine: Engine, tiny_bpe: Any) -> None:
    rng = random.Random(1)
    follow_schemas(engine, tiny_bpe, [random_schema(rng) for _ in range(100)])


def test_beside_settings(engine: Engine, tiny_bpe: Any) -> None:
    """Whatever narrows or penalises, the answer follows its grammar; equal seeds give equal answers."""
    settings: list[dict[str, Any]] = [
        {"temperature": 0.0},
        {"temperature": 1.5, "top_p": 0.1},
        {"top_k": 1},
        {"min_p": 0.9},
        {"repetition_penalty": 1.8, "frequency_penalty": 2.0, "presence_penalty": 2.0},
        {"logit_bias": {tiny_bpe.encode("z")[0]: 100.0, tiny_bpe.eos_token_id: 100.0}},
        {},
        {},
    ]
    requests = [asked(tiny_bpe, grammars.json_schema(NAMES), **own) for own in settings]
    told = [answer.result() for answer in [engine.submit(request) for request in requests]]
    for delta in told:
        assert delta.finish_reason == "stop" and delta.token_ids[-1] == tiny_bpe.eos_token_id
        said = json.loads(tiny_bpe.decode(delta.token_ids[:-1]))
        assert 2 <= len(said) <= 3 and all(isinstance(name, str) and len(name) <= 4 for name in said)
    assert told[-1] == told[-2] and tiny_bpe.decode(told[5].token_ids).count("zzzz") >= 2


def test_log_probs_are_the_models_own(engine: Engine, tiny_llama: Path, tiny_bpe: Any) -> None:
    request = asked(tiny_bpe, grammars.json_schema(NAMES), 2)
    told = engine.submit(request).result()
    reference = _log_probs(tiny_llama, [*request.prompt, *told.token_ids])[len(request.prompt) - 1 : -1]
    for of, token, log_prob in zip(reference, told.token_ids, told.log_probs, strict=True):
        assert log_prob.value == pytest.approx(float(of[token]), abs=1e-4)
        assert list(log_prob.alternatives) == of.topk(2).indices.tolist()


def test_a_limit_cuts_what_a_grammar_asks(engine: Engine, tiny_bpe: Any) -> None:
    told = engine.submit(asked(tiny_bpe, grammars.regex("(ab){50}"), max_new_tokens=5)).result()
    assert told.finish_reason == "length" and tiny_bpe.decode(told.token_ids) != "ab" * 50


def test_one_that_cannot_go_on_fails_alone(engine: Engine, tiny_bpe: Any) -> None:
    """A grammar of what is forbidden otherwise ends its own answer with the reason; those beside it go on."""
    forbidden = asked(tiny_bpe, grammars.regex("q{3}"), logit_bias={tiny_bpe.encode("q")[0]: -math.inf})
    answers = [engine.submit(request) for request in (forbidden, asked(tiny_bpe, grammars.regex("q{3}")))]
    with pytest.raises(TunesmithError, match="logit_bias"):
        answers[0].result()
    assert tiny_bpe.decode(answers[1].result().token_ids[:-1]) == "qqq"


def test_no_grammar_is_refused_at_once(engine: Engine, tiny_bpe: Any) -> None:
    answered = engine.stats().answered
    with pytest.raises(TunesmithError, match="unknown name"):
        engine.submit(asked(tiny_bpe, "start: nothing"))
    assert engine.stats().answered == answered


def test_beams_follow_none(tiny_llama: Path, tiny_bpe: Any) -> None:
    handle = handle_of(tiny_llama, tiny_bpe, load=lambda: load_plain(tiny_llama))
    engine = Transformers(num_beams=2).open_engine(handle)
    with pytest.raises(TunesmithError, match="num_beams=1"):
        engine.submit(asked(tiny_bpe, grammars.json_object()))
    engine.close()
