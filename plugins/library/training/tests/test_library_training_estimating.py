"""What a token loss is said to cost: as many logits as the loss takes at a time."""

import pytest
from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_training import head
from tunesmith_library_training.estimating import _CHUNK_NUMBERS, estimate_token_loss


def test_the_chunk_is_that_of_the_loss():
    assert _CHUNK_NUMBERS == head._CHUNK_ELEMENTS


@pytest.mark.parametrize(
    ("vocabulary", "chunk_size", "tokens"),
    [(100, 0, 4 * 32), (100, 50, 50), (2**20, 0, 32), (2**26, 0, 1), (2**20, 100, 100)],
)
def test_logits(vocabulary, chunk_size, tokens):
    found = estimate_token_loss(Estimate("bf16", vocabulary=vocabulary, sequences=4), 32, chunk_size)
    assert found.length == 32
    assert found.bytes("forward")["logits"] == 12 * tokens * vocabulary
    assert "logits" not in found.bytes("backward")


def test_an_output_layer_that_is_trained():
    tied = Weight("model.embed_tokens.weight", (100, 8), "embedding", 32, trained=True)
    found = estimate_token_loss(Estimate("fp32", (tied,), 8, 100), 10, 1)
    assert found.bytes("forward")["logits"] == 12 * 100 + 8 * 800 + 8 * 8 * 10


def test_a_model_that_is_not_known():
    assert estimate_token_loss(Estimate("bf16"), 10, 0).memory == {}
