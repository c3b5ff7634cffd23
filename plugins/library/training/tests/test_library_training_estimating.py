"""What stages are said to cost: as many logits as the loss takes at a time, both answers of a pair, a reference."""

import json
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
from tunesmith.traits import AdapterTraits
from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_estimates.machines import Machine
from tunesmith_library_estimates.working import Extent
from tunesmith_library_testing.parts import StubPlan
from tunesmith_library_training import estimating, head, linear_cross_entropy
from tunesmith_library_training.estimating import (
    estimate_answers,
    estimate_token_loss,
    with_second_model,
)
from tunesmith_library_training.reference_costs import ReferenceCosts
from tunesmith_library_training.reference_stage import ReferenceStage


def test_chunks_are_those_of_the_loss():
    assert estimating._CHUNK == head._CHUNK_ELEMENTS == linear_cross_entropy._CHUNK_ELEMENTS
    assert estimating._CHUNK_ON_CPU == linear_cross_entropy._CHUNK_ON_CPU
    assert estimating._BLOCK_ON_CPU == linear_cross_entropy._BLOCK_ON_CPU


@pytest.mark.parametrize(
    ("vocabulary", "chunk_size", "tokens"),
    [(100, 0, 4 * 32), (100, 50, 50), (2**20, 0, 32), (2**26, 0, 1), (2**20, 100, 100)],
)
def test_logits(vocabulary, chunk_size, tokens):
    """By autograd three numbers of each logit, in one pass its own and one beside it."""
    made = Estimate("bf16", vocabulary=vocabulary, sequences=4)
    for one_pass, each in ((False, 12), (True, 6)):
        found = estimate_token_loss(made, 32, chunk_size, one_pass)
        assert found.length == 32
        assert found.bytes("forward")["logits"] == each * tokens * vocabulary
        assert "logits" not in found.bytes("backward")


@pytest.mark.parametrize(("sequences", "alike", "beside"), [(2, 64, 2**19), (40, 427, 2**19), (1, 32, 32 * 2**15)])
def test_logits_on_a_cpu(sequences, alike, beside):
    """Chunks are of like size there, and only a block has float32 numbers beside it."""
    made = Estimate("bf16", vocabulary=2**15, sequences=sequences, machine=Machine(device="cpu"))
    found = estimate_token_loss(made, 32, 0, one_pass=True)
    assert found.bytes("forward")["logits"] == 2 * alike * 2**15 + 8 * min(beside, alike * 2**15, 2**19)


@pytest.mark.parametrize(
    ("one_pass", "logits", "gradients", "hidden"), [(True, 0, 8, 8), (None, 12, 8, 8), (False, 12, 8, 8)]
)
def test_an_output_layer_that_is_trained(one_pass, logits, gradients, hidden):
    """Where answers are compared, and nobody says that the loss is plain, its gradient is autograd's. Else it is known
    when the backward pass begins, which multiplies it."""
    tied = Weight("model.embed_tokens.weight", (100, 8), "embedding", 32, trained=True)
    found = estimate_token_loss(Estimate("fp32", (tied,), 8, 100), 10, 1, one_pass)
    assert found.bytes("forward")["logits"] == logits * 100 + gradients * 800 + hidden * 8 * 10


@pytest.mark.parametrize(("chunk_size", "offered"), [(0, 2**25 // 1024 // 4), (400, 100), (64, None)])
def test_fewer_logits_at_a_time_are_offered(chunk_size, offered):
    made = Estimate("bf16", vocabulary=1024, machine=Machine(device="cuda"))
    typed = [override for each in estimate_token_loss(made, 100_000, chunk_size).changes for override in each.overrides]
    found = [override for override in typed if "loss_chunk_size" in override]
    assert found == ([f"stage.loss_chunk_size={offered}"] if offered else [])


def test_a_model_that_is_not_known():
    assert estimate_token_loss(Estimate("bf16"), 10, 0).memory == {}


def test_answers_of_a_row_learn_together():
    one, two = (estimate_answers(Estimate("bf16", vocabulary=100, sequences=4), 32, 0, count) for count in (1, 2))
    assert (one.tokens, two.tokens) == (4 * 32, 8 * 32)
    known = Extent(longest=(40, 30, 20, 10, 5))  # tokens of both answers together
    assert replace(two, data=known).tokens == 40 + 30 + 20 + 10


@pytest.mark.parametrize(
    ("adapter", "options", "expected"),
    [
        (AdapterTraits(whole=True), {}, 4 * 800 + 4 * 64),
        (AdapterTraits(), {}, 4 * 800 + 4 * 64),
        (AdapterTraits(beside=True), {}, None),
        (AdapterTraits(beside=True), {"reference_adapter": "runs/sft"}, 4 * 800 + 4 * 64),
        (AdapterTraits(whole=True), {"precompute_reference": True}, None),
        (AdapterTraits(whole=True), {"reference": "org/other"}, None),
    ],
)
def test_a_reference_is_a_second_model_where_no_adapter_can_be_switched_off(adapter, options, expected):
    @dataclass(kw_only=True, eq=False)
    class Stage(ReferenceStage):
        NAME = "mine"

    weights = (
        Weight("model.embed_tokens.weight", (100, 8), "embedding", 32),
        Weight("model.layers.0.mlp.up_proj.weight", (8, 8), "linear", 32, trained=True),
    )
    plan = StubPlan({"adapter": {"mine": SimpleNamespace(traits=adapter)}})
    found = Stage(max_length=10, **options).estimate(Estimate("fp32", weights, 8, 100), plan)
    assert found.length == 10
    assert found.bytes("step").get("reference model") == expected
    told = [item for item in found.unknown if item.startswith("the reference model org/other")]
    assert len(told) == ("reference" in options)
    offered = [change.overrides for change in found.changes]
    assert offered == ([("stage.precompute_reference=true",)] if expected else [])


def test_a_reference_is_no_wider_than_the_embeddings():
    """Where some layers are trained in float32 over a model in 16 bits, the reference is in 16 bits."""
    frozen = Weight("model.embed_tokens.weight", (100, 8), "embedding", 16)
    trained = Weight("model.layers.0.mlp.up_proj.weight", (8, 8), "linear", 32, trained=True)
    few = Weight("model.layers.0.mlp.down_proj.weight", (8, 8), "linear", 4)
    found = with_second_model(Estimate("bf16", (frozen, trained, few)))
    assert found.bytes("forward")["reference model"] == 2 * 864 + 32
    assert with_second_model(Estimate("bf16")) == Estimate("bf16")


def test_a_reference_of_its_own_has_the_weights_of_its_config(tmp_path):
    """In numbers as wide as those of the trained model: rounding alone would look like a preference."""
    shape = {"hidden_size": 8, "vocab_size": 100, "num_hidden_layers": 1, "num_attention_heads": 2}
    told = {"model_type": "llama", **shape, "intermediate_size": 16, "tie_word_embeddings": True}
    (tmp_path / "config.json").write_text(json.dumps(told))
    weight = Weight("model.embed_tokens.weight", (50, 8), "embedding", 32, trained=True)
    made = Estimate("bf16", (weight,), 8, 50, flops_per_token=100.0, length=10)
    plan = StubPlan({})
    found = ReferenceCosts(str(tmp_path)).add(made, plan)
    numbers = 100 * 8 + 4 * 8 * 8 + 3 * 8 * 16 + 3 * 8
    assert found.bytes("step")["reference model"] == 4 * numbers
    assert found.work["reference"].flops == 100.0


def test_a_reference_that_is_asked_once_is_gone_when_training_begins():
    weight = Weight("model.embed_tokens.weight", (50, 8), "embedding", 32, trained=True)
    made = Estimate("fp32", (weight,), 8, 50, flops_per_token=100.0, data=Extent(examples=7, tokens=10.0))
    found = ReferenceCosts(once=True, passes=2).add(made, StubPlan({}))
    assert found.bytes("load")["reference model"] == 4 * 400
    assert "reference model" not in found.bytes("forward")
    work = found.work["reference, before training"]
    assert (work.flops, work.per) == (2 * 100.0 * 7 * 10, "run")
    assert ReferenceCosts(once=True).add(replace(made, data=Extent()), StubPlan({})).unknown


def test_shorter_sequences_are_offered():
    """Where half of the length still holds a conversation."""

    def asked(length):
        offered = estimate_token_loss(Estimate("bf16"), length, 0).changes
        return [change.overrides for change in offered if change.cost == "method"]

    assert asked(2048) == [("stage.max_length=1024",)]
    assert asked(256) == []
