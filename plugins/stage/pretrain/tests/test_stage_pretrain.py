"""Documents to rows, with nothing lost, and a loss that is transformers' own."""

from __future__ import annotations

from itertools import accumulate, chain, pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from tunesmith import DataError, TunesmithError
from tunesmith.errors import ConfigError
from tunesmith_library_formats import tallying
from tunesmith_library_testing import StageSuite
from tunesmith_library_testing.parts import CHATML
from tunesmith_stage_pretrain import Pretraining

TEXTS = ["Whales sing.", "你好，鲸鱼 🐋", "x", "The tide turns, and nobody counts the waves twice. " * 5, ""]
ROWS = [{"text": text} for text in TEXTS]


class TestStage(StageSuite):
    plugin = Pretraining
    options: ClassVar[dict[str, Any]] = {"max_length": 64}
    rows = ROWS


class TestStageOfOneDocument(StageSuite):
    plugin = Pretraining
    options: ClassVar[dict[str, Any]] = {"packing": False, "max_length": 64}
    rows = ROWS


def encode(tokenizer: Any, **options: Any) -> dict[str, list[Any]]:
    return Pretraining(**options).encode(rows=ROWS, processor=tokenizer, template=CHATML)


def documents(tokenizer: Any) -> list[list[int]]:
    return [[*tokenizer(text).input_ids, tokenizer.eos_token_id] for text in TEXTS if text]


@pytest.mark.parametrize("max_length", [2, 7, 16, 64, 1000])
@pytest.mark.parametrize("isolate", [True, False])
def test_joined_rows_lose_nothing(tiny_bpe: Any, max_length: int, isolate: bool) -> None:
    columns = encode(tiny_bpe, max_length=max_length, isolate_documents=isolate)
    stream = list(chain.from_iterable(documents(tiny_bpe)))
    assert list(chain.from_iterable(columns["input_ids"])) == stream
    assert columns["labels"] == columns["input_ids"]
    assert all(len(row) == max_length for row in columns["input_ids"][:-2])
    assert [len(row) for row in columns["input_ids"][-2:]] in ends_of(len(stream), max_length)
    assert ("sequence_lengths" in columns) == isolate
    if isolate:
        pieces = [
            row[start:stop]
            for row, lengths in zip(columns["input_ids"], columns["sequence_lengths"], strict=True)
            for start, stop in pairwise(accumulate(lengths, initial=0))
        ]
        assert all(pieces)
        ends = [index for index, piece in enumerate(pieces) if piece[-1] == tiny_bpe.eos_token_id]
        starts = [0, *(index + 1 for index in ends)]
        found = [list(chain.from_iterable(pieces[start:stop])) for start, stop in pairwise(starts)]
        assert found == documents(tiny_bpe)


def ends_of(tokens: int, max_length: int) -> list[list[int]]:
    """The lengths that the last two rows may have: one token alone would be predicted by none."""
    rest = tokens % max_length or max_length
    if tokens <= max_length:
        return [[tokens]]
    return [[max_length, rest]] if rest > 1 or max_length == 2 else [[max_length - 1, 2]]


@pytest.mark.parametrize("longer", ["split", "cut"])
def test_every_token_is_counted(tiny_bpe: Any, longer: Any) -> None:
    """Of documents of each length around multiples of that of a row."""
    rows = [{"text": "a " * count} for count in range(1, 40)]
    lengths = [len(tiny_bpe(row["text"]).input_ids) + 1 for row in rows]
    for max_length in (2, 3, 8, 13):
        stage = Pretraining(packing=False, max_length=max_length, longer=longer)
        with tallying() as tally:
            found = stage.encode(rows=rows, processor=tiny_bpe, template=CHATML)["input_ids"]
        kept = sum(map(len, found))
        assert all(2 <= len(row) <= max_length for row in found) and tally.lost == 0
        assert (tally.sizes.tokens, tally.sizes.trained) == (kept, kept - len(found))
        assert tally.sizes.removed == sum(lengths) - kept and tally.sizes.longest == max(lengths)
        if longer == "split" and max_length > 2:
            assert kept == sum(lengths) and tally.sizes.cut == 0
        if longer == "cut":
            assert tally.sizes.cut == sum(length > max_length for length in lengths)
    packed = Pretraining(max_length=13)
    with tallying() as tally:
        packed.encode(rows=rows, processor=tiny_bpe, template=CHATML)
    assert (tally.sizes.tokens, tally.sizes.removed, tally.sizes.cut) == (sum(lengths), 0, 0)
    edges = len({*accumulate(lengths, initial=0), *range(0, sum(lengths), 13)} - {sum(lengths)})
    assert tally.sizes.trained == sum(lengths) - edges, "each piece of a document begins with one that is not"


def test_a_row_of_one_document(tiny_bpe: Any) -> None:
    whole = encode(tiny_bpe, packing=False)
    assert whole == {"input_ids": documents(tiny_bpe), "labels": documents(tiny_bpe)}
    halves = encode(tiny_bpe, packing=False, max_length=16)["input_ids"]
    assert list(chain.from_iterable(halves)) == list(chain.from_iterable(documents(tiny_bpe)))
    cut = encode(tiny_bpe, packing=False, max_length=16, longer="cut")["input_ids"]
    assert cut == [document[:16] for document in documents(tiny_bpe)]


def test_rows_and_tokenizers_that_do_not_fit() -> None:
    said = r"needs rows with `text`; these have messages\.[\s\S]*format: text with columns"
    with pytest.raises(DataError, match=said):
        Pretraining().encode(rows=[{"messages": []}], processor=None, template=CHATML)
    with pytest.raises(TunesmithError, match="no eos_token"):
        Pretraining().encode(rows=[{"text": "a"}], processor=SimpleNamespace(eos_token_id=None), template=CHATML)


@pytest.mark.parametrize("padding_free", [True, False])
def test_loss_is_that_of_each_document_alone(tiny_llama: Path, tiny_bpe: Any, padding_free: bool) -> None:
    """SDPA of transformers keeps restarting positions apart by a block mask."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_llama, attn_implementation="sdpa")
    stage = Pretraining(max_length=512)
    columns = stage.encode(rows=ROWS, processor=tiny_bpe, template=CHATML)
    batch = stage.collate(
        examples=[{name: values[0] for name, values in columns.items()}], padding_free=padding_free, processor=None
    )
    output = stage.compute_loss(model=model, batch=batch)
    expected, count = torch.zeros(()), 0
    for document in documents(tiny_bpe):
        ids = torch.tensor([document])
        expected = expected + model(input_ids=ids, labels=ids).loss * (len(document) - 1)
        count += len(document) - 1
    assert output.num_items == count
    torch.testing.assert_close(output.loss, expected)


@pytest.mark.real
@pytest.mark.parametrize("name", ["llama3", "llama2", "qwen", "mistral"])
def test_real_documents(real_files: Path, name: str) -> None:
    """Every character of real texts comes back, and every document ends."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(real_files / "tokenizers" / name)
    texts = (real_files / "data" / "wiki_demo.txt").read_text().splitlines()[:40]
    texts = [text for text in texts if text.strip()]
    columns = Pretraining(max_length=300).encode(
        rows=[{"text": text} for text in texts], processor=tokenizer, template=CHATML
    )
    stream = list(chain.from_iterable(columns["input_ids"]))
    assert stream.count(tokenizer.eos_token_id) == len(texts)
    documents = tokenizer.decode(stream).split(tokenizer.eos_token)[:-1]
    begin = tokenizer.bos_token if stream[0] == tokenizer.bos_token_id else ""
    assert [document.removeprefix(begin).strip() for document in documents] == [text.strip() for text in texts]


def test_check() -> None:
    padded = SimpleNamespace(get=lambda key, default=None: False)
    usual = SimpleNamespace(get=lambda key, default=None: default)
    assert Pretraining().check(plan=usual) == []
    assert [problem.severity for problem in Pretraining().check(plan=padded)] == ["warning"]
    assert Pretraining(isolate_documents=False).check(plan=padded) == []


@pytest.mark.parametrize(("option", "value"), [("max_length", 0), ("loss_chunk_size", -1)])
def test_ranges(option: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"stage\.{option} cannot be {value}"):
        TestStage.make(**{option: value})
