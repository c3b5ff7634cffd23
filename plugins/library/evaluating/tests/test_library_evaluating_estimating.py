"""What reading takes: a layer's numbers of the tokens that are read together, and a chunk of logits."""

from dataclasses import replace

import pytest
from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_estimates.machines import Machine
from tunesmith_library_evaluating.asking import Asking
from tunesmith_library_evaluating.estimating import with_reading, with_scoring

MODEL = Estimate(
    "bf16",
    (Weight("model.layers.0.mlp.up_proj.weight", (32, 8), "linear", 16),),
    hidden_size=8,
    vocabulary=2**15,
    machine=Machine(device="cuda"),
)


@pytest.mark.parametrize(("device", "tokens", "logits"), [("cuda", 100, 100 * 2**15), ("cpu", 8192, 2**24)])
def test_reading_takes_a_layer_and_a_chunk_of_logits(device, tokens, logits):
    found = with_reading(replace(MODEL, machine=Machine(device=device)), tokens).bytes("forward")
    assert found["a layer that reads"] == 2 * tokens * (3 * 32 + 4 * 8)
    assert found["logits"] == 10 * logits


def test_what_an_engine_scores_has_all_logits_of_a_batch():
    found = with_scoring(MODEL).bytes("forward")
    assert found["logits"] == 2 * 2**26 and found["a layer that reads"] == 2 * 2**11 * (3 * 32 + 4 * 8)


def test_a_thought_and_its_answer_are_written():
    assert Asking(max_new_tokens=5, thinking_budget=7).tokens_of_answer == 12
