"""What answers are said to take: the buffers of the engine itself, and by hand."""

import pytest
import torch
from tunesmith_engine_transformers import Transformers, prompts
from tunesmith_engine_transformers import columns as real
from tunesmith_engine_transformers import estimating as costs
from tunesmith_library_estimates.cache import Answers, Cache
from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_testing.parts import StubPlan

WEIGHTS = (
    Weight("model.embed_tokens.weight", (100, 8), "embedding", 16),
    Weight("model.layers.0.mlp.up_proj.weight", (16, 8), "linear", 16),
)
CACHE = Cache(((32, 0), (32, 16)), context=4096)


def of(command, **values):
    made = Estimate("bf16", WEIGHTS, 8, 100, cache=CACHE, flops_per_token=10.0, **values)
    return Transformers(max_new_tokens=20).estimate(made, StubPlan({}, command))


def test_its_numbers_are_those_of_the_engine():
    assert (costs._ROOM, costs._PART, costs._PART_ON_CPU) == (real._ROOM, prompts._CHUNK, prompts._CHUNK_ON_CPU)


@pytest.mark.parametrize("window", [None, 16, 100])
@pytest.mark.parametrize(("prompt", "answer", "step"), [(10, 5, 512), (64, 200, 16), (300, 900, 128), (129, 1, 128)])
def test_columns_are_those_of_its_buffers(window, prompt, answer, step):
    """The same tokens written into a layer's buffers: a prompt part by part, an answer token by token."""
    layer = real.Columns(window)
    parts = [min(step, prompt - start) for start in range(0, prompt, step)] + [1] * answer
    for tokens in parts:
        layer.update(*(torch.zeros(3, 1, tokens, 2),) * 2)
    wanted = Answers(3, prompt, answer)
    assert costs.columns(wanted, step, window or 0) == layer.keys.shape[2]


def test_answers_of_a_training_step():
    """Five at a time are written in places for eight; each token reads the weights once for all of them."""
    found = of("train", answers=Answers(sequences=5, prompt=40, tokens=24, in_step=15))
    columns = costs.columns(found.answers, costs._PART // 5), costs.columns(found.answers, costs._PART // 5, 16)
    numbers = 8 * (32 * sum(columns) + 32 * max(columns) / 2)
    assert found.bytes("generate")["keys and values of answers"] == 2 * numbers
    work, middle = found.work["answers"], 32 * 52 + 32 * 16
    assert work.flops == 15 * 64 * 10.0
    assert work.bytes == 24 * (3 * 2 * (800 + 128) + 15 * 2 * middle)


def test_answers_of_an_evaluation_begin_with_prompts_as_long_as_the_data():
    assert of("eval", length=60).answers == Answers(16, 60, 20)
    assert "answers" not in of("eval", length=60).work
    assert "kept for prompts that begin alike" not in of("train", answers=Answers(2, 8, 8, 2)).memory


def test_a_conversation_fills_the_context_up_to_what_is_planned_for():
    found = of("chat")
    assert (found.answers.sequences, found.answers.length) == (1, 4096)
    assert found.bytes("generate")["kept for prompts that begin alike"] == 8192 * 64 * 2
    assert [change.overrides for change in found.changes] == [("engine.prefix_cache=1024",)]
    assert any("128 B for each token" in item for item in found.unknown)


def test_layers_that_are_not_known():
    made = Transformers().estimate(Estimate("bf16", WEIGHTS), StubPlan({}, "chat"))
    assert made.unknown == ("keys and values: the layers are not known",)
    assert Transformers().estimate(Estimate("bf16"), StubPlan({}, "chat")) == Estimate("bf16")
