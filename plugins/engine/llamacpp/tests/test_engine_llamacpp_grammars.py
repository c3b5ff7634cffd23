"""Answers of tiny models in llama.cpp that follow a grammar."""

import json
import math
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tunesmith import TunesmithError
from tunesmith.types import Engine, Request, Sampling
from tunesmith_engine_llamacpp import LlamaCpp
from tunesmith_library_engine import grammars
from tunesmith_library_testing.gguf import save_tiny_gguf
from tunesmith_library_testing.parts import handle_of
from tunesmith_library_testing.schemas import follow_schemas, random_schema

pytestmark = pytest.mark.slow
pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: make programs")


@pytest.fixture(scope="module")
def engine(tiny_llama: Path, tiny_bpe: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    handle = handle_of(tiny_llama, tiny_bpe)
    file = save_tiny_gguf(tiny_llama, tmp_path_factory.mktemp("gguf") / "tiny.gguf")
    engine = LlamaCpp(threads=1).open_engine(replace(handle, source=replace(handle.source, path=file)))
    yield engine
    engine.close()


def test_schemas(engine: Engine, tiny_bpe: Any) -> None:
    rng = random.Random(2)
    follow_schemas(engine, tiny_bpe, [random_schema(rng, 2) for _ in range(20)])


def test_beside_settings(engine: Engine, tiny_bpe: Any) -> None:
    """Whatever narrows or penalises, the answer follows its grammar; log-probabilities are the model's own."""
    grammar = grammars.json_schema({"type": "array", "items": {"type": "string", "maxLength": 4}, "maxItems": 3})
    settings: list[dict[str, Any]] = [
        {"temperature": 0.0},
        {"temperature": 1.5, "top_p": 0.1},
        {"temperature": 1.0, "top_k": 1},
        {"temperature": 1.0, "min_p": 0.9},
        {"temperature": 0.0, "repetition_penalty": 1.8, "frequency_penalty": 2.0, "presence_penalty": 2.0},
        {"temperature": 0.0, "logit_bias": {tiny_bpe.encode("z")[0]: 100.0, tiny_bpe.eos_token_id: 100.0}},
    ]
    prompt = tiny_bpe.encode("Who?")
    for own in settings:
        sampling = Sampling(grammar=grammar, max_new_tokens=200, seed=1, **own)
        told = engine.submit(Request(prompt, sampling, log_probs=1)).result()
        assert told.finish_reason == "stop" and isinstance(json.loads(tiny_bpe.decode(told.token_ids[:-1])), list)
        (scored,) = engine.score([[*prompt, *told.token_ids]])
        values = [log_prob.value for log_prob in scored[len(prompt) - 1 :]]
        assert [log_prob.value for log_prob in told.log_probs] == pytest.approx(values, abs=0.02)


def test_one_that_cannot_go_on_fails_alone(engine: Engine, tiny_bpe: Any) -> None:
    prompt, forbidden = tiny_bpe.encode("Who?"), {tiny_bpe.encode("q")[0]: -math.inf}
    wanted = [Sampling(grammar=grammars.regex("q{3}"), logit_bias=bias) for bias in (forbidden, {})]
    answers = [engine.submit(Request(prompt, sampling)) for sampling in wanted]
    with pytest.raises(TunesmithError, match="logit_bias"):
        answers[0].result()
    assert tiny_bpe.decode(answers[1].result().token_ids[:-1]) == "qqq"
    with pytest.raises(TunesmithError, match="unknown name"):
        engine.submit(Request(prompt, Sampling(grammar="start: nothing")))
