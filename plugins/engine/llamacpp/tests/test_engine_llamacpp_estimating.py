"""What llama.cpp is said to take: by hand."""

import pytest
from tunesmith_engine_llamacpp import LlamaCpp, loading
from tunesmith_engine_llamacpp import estimating as costs
from tunesmith_library_estimates.cache import Cache
from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_testing.parts import StubPlan

MODEL = Estimate("bf16", (Weight("w", (9,), "linear", 16),), 8, 100, cache=Cache(((64, 0), (64, 8)), context=131_072))


def test_its_numbers_are_those_of_the_engine():
    assert (costs.LONGEST, costs.BATCH) == (loading._LONGEST, loading._BATCH)


@pytest.mark.parametrize(
    ("options", "tokens", "each"),
    [
        ({}, 16_384, 2),
        ({"context_length": 4_096, "cache": "f32"}, 4_096, 4),
        ({"context_length": 100, "memory": "apart", "batch_size": 3, "cache": "q8_0"}, 300, 34 / 32),
    ],
)
def test_keys_and_values_are_there_for_all_tokens_from_the_start(options, tokens, each, tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"0" * 321)
    plan = StubPlan({}, "chat", values={"model.path": str(tmp_path)})
    found = LlamaCpp(**options).estimate(MODEL, plan)
    assert found.bytes("load")["weights"] == 321
    assert found.bytes("generate")["keys and values of answers"] == tokens * 128 * each


def test_without_a_file_the_weights_stay_and_that_is_said():
    found = LlamaCpp().estimate(MODEL, StubPlan({}, "chat", values={"model.path": "org/name"}))
    assert found.weights == MODEL.weights and "GGUF" in found.unknown[0]
    assert ("engine.cache=q8_0",) in [change.overrides for change in found.changes]
