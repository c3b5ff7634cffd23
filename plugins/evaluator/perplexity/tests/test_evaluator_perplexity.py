"""Perplexity against transformers in float64, whatever the batches; its standard error against the bootstrap."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tunesmith import DataError
from tunesmith.traits import StageTraits
from tunesmith_evaluator_perplexity import Perplexity
from tunesmith_evaluator_perplexity.scores import Loss, measured, sequences_of
from tunesmith_library_evaluating import EvaluationData
from tunesmith_library_testing import EvaluatorSuite
from tunesmith_library_testing.engine import chat_of
from tunesmith_library_testing.parts import StubPlan, examples, handle_of, load_plain
from tunesmith_library_testing.tiny import save_tiny_model

TEXTS = ("Whales sing.", "The tide turns, and nobody counts the waves twice. 鲸鱼", "A", "Who are you? " * 9)


class TestPerplexity(EvaluatorSuite):
    plugin = Perplexity


class TestPerplexityThroughTheEngine(EvaluatorSuite):
    plugin = Perplexity
    options = {"through": "engine"}


def encoded(tokenizer):
    """Examples of different lengths, of which all tokens, some, or a few in the middle are trained."""
    chats = [[{"role": "user", "content": text}, {"role": "assistant", "content": text[::-1]}] for text in TEXTS]
    found = examples(tokenizer, chats)
    found[0]["labels"] = list(found[0]["input_ids"])
    found[1]["labels"][: len(found[1]["labels"]) // 2] = [-100] * (len(found[1]["labels"]) // 2)
    return found


def evaluate(folder, tokenizer, sets, **options):
    handle = handle_of(folder, tokenizer)
    data = EvaluationData(rows=dict, examples=lambda: sets)
    return Perplexity(**options).evaluate(handle=handle, chat=chat_of(handle), data=data)


def reference(folder, example):
    """The sum of the losses and the number of predicted tokens, in float64, by transformers alone."""
    model = load_plain(folder, dtype="float64")
    ids, labels = torch.tensor([example["input_ids"]]), torch.tensor(example["labels"])[1:]
    with torch.no_grad():
        log_probs = model(input_ids=ids, use_cache=False).logits[0, :-1].log_softmax(-1)
    kept = labels != -100
    return -log_probs[kept, labels[kept]].sum().item(), int(kept.sum())


@pytest.mark.parametrize("through", ["model", "engine"])
@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gemma2"])
def test_equals_transformers_in_float64(architecture, through, tmp_path, tiny_bpe):
    capped = {"final_logit_softcapping": 5.0, "attn_logit_softcapping": None} if architecture == "gemma2" else {}
    folder = save_tiny_model(tmp_path / "model", architecture=architecture, tokenizer=tiny_bpe, **capped)
    sets = {"all": encoded(tiny_bpe), "two": encoded(tiny_bpe)[:2]}
    found = evaluate(folder, tiny_bpe, sets, through=through)
    for name, chosen in sets.items():
        sums = [reference(folder, example) for example in chosen]
        mean = sum(total for total, _ in sums) / sum(tokens for _, tokens in sums)
        assert found.metrics[name]["loss"].value == pytest.approx(mean, rel=1e-5)
        assert found.metrics[name]["perplexity"].value == pytest.approx(math.exp(mean), rel=1e-5)
        assert found.metrics[name]["loss"].count == len(chosen)
        records = [record for record in found.records if record["dataset"] == name]
        assert [record["weight"] for record in records] == [tokens for _, tokens in sums]
        losses = [total / tokens for total, tokens in sums]
        assert [record["loss"] for record in records] == pytest.approx(losses, rel=1e-5)


def test_batches_and_padding_change_nothing(tiny_llama, tiny_bpe):
    sets = {"all": encoded(tiny_bpe)}
    alone, some, together = (evaluate(tiny_llama, tiny_bpe, sets, batch_tokens=size) for size in (1, 64, 10**6))
    for other in (some, together):
        for name, number in alone.metrics["all"].items():
            assert other.metrics["all"][name].value == pytest.approx(number.value, rel=1e-6)
            assert other.metrics["all"][name].standard_error == pytest.approx(number.standard_error, rel=1e-5)


def test_packed_rows_come_apart(tiny_llama, tiny_bpe):
    apart = encoded(tiny_bpe)[:2]
    packed = {name: apart[0][name] + apart[1][name] for name in ("input_ids", "labels")}
    packed["sequence_lengths"] = [len(example["input_ids"]) for example in apart]
    found = evaluate(tiny_llama, tiny_bpe, {"apart": apart, "packed": [packed]})
    one, other = (found.metrics[name]["loss"] for name in ("apart", "packed"))
    assert (one.value, one.standard_error) == pytest.approx((other.value, other.standard_error), rel=1e-6)


def test_standard_error_is_that_of_the_bootstrap():
    """Over 400 examples of very different lengths, long ones easier: drawing examples again gives the same spread."""
    generator = np.random.default_rng(0)
    tokens = generator.integers(1, 400, 400)
    sums = generator.gamma(2.0, 1.0, 400) * tokens * (1.5 - tokens / 500)
    found = measured([Loss(total, int(count)) for total, count in zip(sums, tokens, strict=True)])
    drawn = generator.integers(0, 400, (4000, 400))
    means = sums[drawn].sum(1) / tokens[drawn].sum(1)
    assert found["loss"].value == pytest.approx(sums.sum() / tokens.sum())
    assert found["loss"].standard_error == pytest.approx(means.std(), rel=0.05)
    assert found["perplexity"].standard_error == pytest.approx(np.exp(means).std(), rel=0.08)
    assert not found["loss"].greater_is_better and not found["perplexity"].greater_is_better


def test_one_example_has_no_standard_error():
    assert measured([Loss(2.0, 4)])["perplexity"].standard_error is None


def test_examples_without_a_token_to_predict_keep_their_places():
    silent = {"input_ids": [1, 2], "labels": [-100, -100]}
    first_only = {"input_ids": [1, 2], "labels": [1, -100]}
    assert list(sequences_of("a", [silent, {"input_ids": [1, 2], "labels": [-100, 2]}, first_only])) == [1]


def test_records_say_what_was_predicted(tiny_llama, tiny_bpe):
    """And what stood before it, cut where it is long; without names by which comparisons tell examples apart."""
    ids = tiny_bpe("The tide turns, and nobody counts the waves.")["input_ids"]
    chat = {"input_ids": ids, "labels": [-100] * 3 + ids[3:]}
    long = {"input_ids": ids[:1] * 1200, "labels": [-100] * 600 + ids[:1] * 600}
    first, second = evaluate(tiny_llama, tiny_bpe, {"a": [chat, long]}).records
    assert (first["context"], first["text"]) == (tiny_bpe.decode(ids[:3]), tiny_bpe.decode(ids[3:]))
    assert second["context"].startswith("… ") and second["text"].endswith(" …")
    assert not {"prompt", "answer"} & set(first)


def test_preferences_are_refused():
    with pytest.raises(DataError, match=r"pairs has no tokens with labels, but chosen_input_ids\.\n.*stage=sft"):
        sequences_of("pairs", [{"chosen_input_ids": [1]}])


@pytest.mark.parametrize(
    ("traits", "refused"),
    [
        (StageTraits(reads=("messages",), token_loss=True), False),
        (StageTraits(), False),
        (StageTraits(reads=("prompt",), generates=True), True),
        (StageTraits(reads=("prompt", "chosen", "rejected")), True),
    ],
)
def test_examples_without_labels_are_refused_in_the_plan(traits: StageTraits, refused: bool) -> None:
    plan = StubPlan({"stage": {"mine": SimpleNamespace(traits=traits)}}, command="eval")
    assert bool(Perplexity().check(plan=plan)) == refused


def test_traits_say_which_way_its_numbers_are_better() -> None:
    found = {name: number.greater_is_better for name, number in measured([Loss(2.0, 1), Loss(3.0, 2)]).items()}
    assert found == {"perplexity": False, "loss": False}
    assert Perplexity.traits.metrics == {"perplexity": False, "perplexity_loss": False}
