"""What the anchor is said to take, beside what torch allocates for its loss and for a plain one."""

import functools

import pytest
import torch
from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_testing.allocating import highest_allocation
from tunesmith_library_testing.parts import StubPlan
from tunesmith_library_training import head
from tunesmith_library_training.token_loss import cross_entropy, of_tokens
from tunesmith_loss_asft import AnchoredFineTuning, anchored_loss, estimating

TOKENS, WORDS = 64, 2048


def allocated(function, known):
    labels, hidden = torch.randint(0, WORDS, (TOKENS,)), torch.randn(TOKENS, 8, requires_grad=True)
    layer = torch.randn(WORDS, 8)
    with highest_allocation() as measured:
        beside = [(hidden.detach() @ layer.T).float()] if known else []
        losses = of_tokens(lambda *given: function(*given, *beside), hidden @ layer.T, labels, None)
        beside.clear()
        torch.autograd.grad(losses.sum(), hidden)
    return measured.bytes


def test_logits_of_the_reference():
    more = allocated(functools.partial(anchored_loss, alpha=0.1), True) - allocated(cross_entropy, False)
    weight = Weight("model.embed_tokens.weight", (WORDS, 8), "embedding", 32, trained=True)
    made = Estimate("fp32", (weight,), 8, WORDS, length=TOKENS)
    found = AnchoredFineTuning().estimate(made, StubPlan({}))
    hidden = 4 * 8 * TOKENS
    assert found.bytes("forward")["logits of the reference"] - hidden == pytest.approx(more, rel=0.15)
    assert found.bytes("step")["reference model"] == 4 * WORDS * 8


def test_its_chunk_is_that_of_the_loss():
    assert estimating._CHUNK == head._CHUNK_ELEMENTS
