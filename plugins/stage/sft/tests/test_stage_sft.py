"""Encoding, packing and batches, with a small marked template."""

from __future__ import annotations

import logging
import random
from itertools import chain, pairwise
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from tunesmith import DataError
from tunesmith.errors import ConfigError
from tunesmith.traits import StageTraits
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_testing import StageSuite
from tunesmith_library_training.weighing import Rule
from tunesmith_stage_sft import SupervisedFineTuning
from tunesmith_stage_sft.packing import best_fit

JINJA = (
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}"
    "{% else %}{{ m.content }}<|im_end|>{% endif %}\n{% endfor %}"
)
TEMPLATE = ChatTemplate("small", JINJA, ("<|im_end|>",), {"bos_token": "<s>"})


def row(*turns: str, **more: Any) -> dict[str, Any]:
    """User and assistant by turns."""
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[at % 2], "content": text} for at, text in enumerate(turns)], **more}


ROWS = [
    row("Who are you?", "I am small."),
    row("你好", "你好，鲸鱼 🐋🐋", "and then?", "  nothing\n\n"),
    row("Sing", "Whales sing, the tide turns, and nobody counts the waves twice. " * 3),
]


class TestStage(StageSuite):
    plugin = SupervisedFineTuning
    rows = ROWS


class TestPackedStage(StageSuite):
    plugin = SupervisedFineTuning
    options: ClassVar[dict[str, Any]] = {"packing": True, "loss_chunk_size": 7}
    rows = ROWS


class TestWeightedStage(StageSuite):
    plugin = SupervisedFineTuning
    options: ClassVar[dict[str, Any]] = {"message_weights": True}
    rows = ROWS


def encode(tokenizer: Any, rows: list[dict[str, Any]] = ROWS, **options: Any) -> dict[str, list[Any]]:
    return SupervisedFineTuning(**options).encode(rows=rows, processor=tokenizer, template=TEMPLATE)


def trained_text(tokenizer: Any, labels: list[int]) -> str:
    return tokenizer.decode([label for label in labels if label != -100])


def test_trained_tokens_are_what_the_assistant_says(tiny_bpe: Any) -> None:
    columns = encode(tiny_bpe)
    assert set(columns) == {"input_ids", "labels"}
    for example, ids, labels in zip(ROWS, columns["input_ids"], columns["labels"], strict=True):
        answers = [message["content"] + "<|im_end|>" for message in example["messages"][1::2]]
        assert trained_text(tiny_bpe, labels) == "".join(answers)
        text = TEMPLATE.render(example["messages"]).text
        assert ids == tiny_bpe(text, add_special_tokens=False).input_ids
        assert all(label in (-100, token) for token, label in zip(ids, labels, strict=True))


def test_whole_conversation_and_last_turn(tiny_bpe: Any) -> None:
    everything = encode(tiny_bpe, train_on_prompt=True)
    assert everything["labels"] == everything["input_ids"]
    last = encode(tiny_bpe, last_turn_only=True)["labels"][1]
    assert trained_text(tiny_bpe, last) == "  nothing\n\n<|im_end|>"


def test_message_weights(tiny_bpe: Any) -> None:
    messages = row("a", "first answer", "b", "second answer", "c", "third answer")["messages"]
    messages[1]["weight"], messages[3]["weight"] = 0, 0.25
    with pytest.raises(DataError, match=r"message_weights=true"):
        encode(tiny_bpe, [{"messages": messages}])
    columns = encode(tiny_bpe, [{"messages": messages}], message_weights=True)
    labels, weights = np.array(columns["labels"][0]), np.array(columns["weights"][0])
    assert trained_text(tiny_bpe, labels[weights == 0.25].tolist()) == "second answer<|im_end|>"
    assert trained_text(tiny_bpe, labels[weights == 1].tolist()) == "third answer<|im_end|>"
    assert (weights[labels == -100] == 0).all()


def test_a_token_across_the_edge_is_trained() -> None:
    """With merges over the edges of a span, every token that holds a character of it is trained, and no other."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"[UNK]": 0, "user": 1, ":ab": 2, "c": 3, "de!": 4, "x": 5, "\n": 6}
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", continuing_subword_prefix=""))
    backend.pre_tokenizer = pre_tokenizers.Split(" ", "removed")
    crossing = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")
    jinja = "user:{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}!x{% endfor %}"
    rows = [{"messages": [{"role": "assistant", "content": "abcde"}]}]
    template = ChatTemplate("crossing", jinja, ())
    columns = SupervisedFineTuning().encode(rows=rows, processor=crossing, template=template)
    assert columns == {"input_ids": [[1, 2, 3, 4, 5]], "labels": [[-100, 2, 3, 4, -100]]}


def test_too_long(tiny_bpe: Any, caplog: pytest.LogCaptureFixture) -> None:
    lengths = [len(ids) for ids in encode(tiny_bpe)["input_ids"]]
    limit = max(lengths) - 5
    with caplog.at_level(logging.WARNING, "tunesmith"):
        cut = encode(tiny_bpe, max_length=limit)
        assert "lose their end" in caplog.text
        dropped = encode(tiny_bpe, max_length=limit, longer="drop")
    assert [len(ids) for ids in cut["input_ids"]] == [min(length, limit) for length in lengths]
    assert [len(ids) for ids in dropped["input_ids"]] == [length for length in lengths if length <= limit]
    assert "are left out" in caplog.text


def test_rows_without_a_trained_token_are_left_out(tiny_bpe: Any, caplog: pytest.LogCaptureFixture) -> None:
    stage = SupervisedFineTuning()
    rows = [row("only a question"), *ROWS]
    for _ in range(2):
        assert len(stage.encode(rows=rows, processor=tiny_bpe, template=TEMPLATE)["labels"]) == len(ROWS)
    assert caplog.text.count("1 of the first 4 rows have no token to learn") == 1


def test_rows_of_another_stage_are_explained(tiny_bpe: Any) -> None:
    """What the installed stages read says which of them suits; the library's own tests have the rules."""

    class Texts:
        traits = StageTraits(reads=("text",))

    stage = SupervisedFineTuning()
    with pytest.raises(DataError, match=r"stage.sft needs rows with `messages`.*text\.\n  choose another format"):
        stage.encode(rows=[{"text": "a"}], processor=tiny_bpe, template=TEMPLATE)
    stage.configured(plan=SimpleNamespace(name=lambda kind: "sft", installed=lambda kind: {"mine": Texts}))
    with pytest.raises(DataError, match=r"needs rows with `messages`.*text\.\n  stage=mine"):
        stage.encode(rows=[{"text": "a"}], processor=tiny_bpe, template=TEMPLATE)


def test_packing_loses_nothing(tiny_bpe: Any) -> None:
    generator = random.Random(1)
    rows = [row("q " * generator.randint(1, 60), "a " * generator.randint(1, 80)) for _ in range(200)]
    alone = encode(tiny_bpe, rows, max_length=256)
    packed = encode(tiny_bpe, rows, max_length=256, packing=True)
    found = []
    for ids, labels, lengths in zip(packed["input_ids"], packed["labels"], packed["sequence_lengths"], strict=True):
        assert len(ids) == len(labels) == sum(lengths) <= 256
        bounds = np.cumsum([0, *lengths])
        found += [(tuple(ids[a:b]), tuple(labels[a:b])) for a, b in pairwise(bounds)]
    expected = [(tuple(a), tuple(b)) for a, b in zip(alone["input_ids"], alone["labels"], strict=True)]
    assert sorted(found) == sorted(expected)
    assert sum(map(len, packed["input_ids"])) / (256 * len(packed["input_ids"])) > 0.95


def test_best_fit_against_an_exhaustive_search() -> None:
    """Never over capacity, every item once, and within 11/9 of the optimum plus one (Johnson 1973)."""
    generator = random.Random(2)
    for _ in range(30):
        lengths = [generator.randint(1, 10) for _ in range(7)]
        bins = best_fit(lengths, 10)
        assert sorted(index for bin in bins for index in bin) == list(range(7))
        assert all(sum(lengths[index] for index in bin) <= 10 for bin in bins)
        assert len(bins) <= 11 / 9 * fewest_bins(lengths, 10) + 1


def fewest_bins(lengths: list[int], capacity: int) -> int:
    best = len(lengths)

    def place(index: int, bins: tuple[int, ...]) -> None:
        nonlocal best
        if len(bins) >= best and index < len(lengths):
            return
        if index == len(lengths):
            best = min(best, len(bins))
            return
        for at in range(len(bins)):
            if bins[at] + lengths[index] <= capacity:
                place(index + 1, (*bins[:at], bins[at] + lengths[index], *bins[at + 1 :]))
        place(index + 1, (*bins, lengths[index]))

    place(0, ())
    return best


EXAMPLES = [
    {"input_ids": [11, 12, 13, 14], "labels": [-100, -100, 13, 14]},
    {"input_ids": [21, 22], "labels": [21, 22]},
    {"input_ids": [31, 32, 33], "labels": [-100, 32, -100]},
]


def test_concatenated_batch() -> None:
    batch = SupervisedFineTuning().collate(examples=EXAMPLES, padding_free=True, processor=None)
    assert batch["input_ids"].tolist() == [[11, 12, 13, 14, 21, 22, 31, 32, 33]]
    assert batch["labels"].tolist() == [[-100, -100, 13, 14, -100, 22, -100, 32, -100]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3, 0, 1, 0, 1, 2]]
    assert batch["cu_seq_lens_q"].tolist() == batch["cu_seq_lens_k"].tolist() == [0, 4, 6, 9]
    assert batch["cu_seq_lens_q"].dtype == torch.int32
    assert (batch["max_length_q"], batch["max_length_k"], batch["num_items"]) == (4, 4, 4.0)
    assert "attention_mask" not in batch


def test_padded_batch() -> None:
    batch = SupervisedFineTuning().collate(examples=EXAMPLES, padding_free=False, processor=None)
    assert batch["input_ids"].tolist() == [[11, 12, 13, 14], [21, 22, 0, 0], [31, 32, 33, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]]
    assert batch["labels"].tolist() == [[-100, -100, 13, 14], [-100, 22, -100, -100], [-100, 32, -100, -100]]
    assert batch["num_items"] == 4.0


@pytest.mark.parametrize("padding_free", [True, False])
def test_packed_rows_come_apart(padding_free: bool) -> None:
    joined = {
        name: list(chain.from_iterable(example[name] for example in EXAMPLES)) for name in ("input_ids", "labels")
    }
    packed = {**joined, "sequence_lengths": [4, 2, 3]}
    stage = SupervisedFineTuning()
    apart = stage.collate(examples=EXAMPLES, padding_free=padding_free, processor=None)
    together = stage.collate(examples=[packed], padding_free=padding_free, processor=None)
    assert apart.keys() == together.keys()
    for name, value in apart.items():
        assert torch.equal(torch.as_tensor(value), torch.as_tensor(together[name])), name


def test_check() -> None:
    padded = SimpleNamespace(get=lambda key, default=None: False)
    usual = SimpleNamespace(get=lambda key, default=None: default)
    assert SupervisedFineTuning(packing=True).check(plan=usual) == []
    assert [problem.severity for problem in SupervisedFineTuning(packing=True).check(plan=padded)] == ["warning"]
    [problem] = SupervisedFineTuning(train_on_prompt=True, last_turn_only=True).check(plan=usual)
    assert (problem.key, problem.severity) == ("stage.last_turn_only", "error")
    [problem] = SupervisedFineTuning(weights=[Rule(pattern="a(", weight=2.0)]).check(plan=usual)
    assert problem.key == "stage.weights[0].pattern" and r"a\(" in problem.advice


@pytest.mark.parametrize(("option", "value"), [("max_length", 1), ("loss_chunk_size", -1)])
def test_ranges(option: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"stage\.{option} cannot be {value}"):
        TestStage.make(**{option: value})
