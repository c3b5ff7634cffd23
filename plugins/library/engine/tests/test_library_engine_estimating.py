"""What engines with weights of their own are said to take."""

from types import SimpleNamespace

import pytest
from tunesmith_library_engine.estimating import answers_of, of_own_weights
from tunesmith_library_estimates.cache import Cache
from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_estimates.machines import Machine
from tunesmith_library_estimates.room import Room
from tunesmith_library_testing.parts import StubPlan

WEIGHTS = (Weight("model.embed_tokens.weight", (100, 8), "embedding", 16),)


CARD = Room(10_000, 0.85)


def of(command, room=CARD, devices=1, asleep=False):
    made = Estimate("bf16", WEIGHTS, 8, 100, cache=Cache(((10, 0),)), machine=Machine(room=room))
    return of_own_weights(made, StubPlan({}, command), 0.9, devices, "vLLM", asleep)


@pytest.mark.parametrize("devices", [1, 2])
def test_it_takes_its_share_whatever_the_weights_are(devices):
    found = of("chat", devices=devices)
    assert sum(found.bytes("generate").values()) == 9_000
    tokens = (9_000 - 1_600 / devices) / (20 / devices)
    assert f"vLLM (room for {tokens:,.0f} tokens)" in found.memory


def test_in_training_it_has_weights_beside_those_that_learn():
    found = of("train", asleep=True)
    assert sum(found.bytes("generate").values()) == 9_000 + 1_600
    assert sum(found.bytes("forward").values()) == 1_600
    assert found.bytes("forward", on_host=True)["weights of vLLM, asleep"] == 1_600


def test_a_card_that_nobody_knows():
    assert of("chat", room=None).unknown == ("what vLLM takes: 90% of the memory of a card that is not known",)


@pytest.mark.parametrize(("tokens", "expected"), [([], 64), ([0], 0), ([0, 300], 300), ([None, 20], 64)])
def test_an_evaluation_writes_the_longest_answers_that_an_evaluator_asks_for(tokens, expected):
    evaluators = {str(place): SimpleNamespace() for place, _ in enumerate(tokens)}
    for evaluator, told in zip(evaluators.values(), tokens, strict=True):
        if told is not None:
            evaluator.tokens_of_answer = told
    found = answers_of(Estimate("bf16", length=128), StubPlan({"evaluator": evaluators}, "eval"), 4, 64)
    assert (found.tokens, found.sequences) == (expected, 4 if expected else 0)
