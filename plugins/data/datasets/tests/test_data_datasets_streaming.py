"""Streams: every example once per pass, the order, several workers, little memory."""

import itertools
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import ClassVar

import pytest
from tunesmith import DataError, plugin
from tunesmith.catalog import Catalog
from tunesmith.traits import QuantizerTraits, StageTraits
from tunesmith.types import Encoder
from tunesmith_data_datasets import Datasets
from tunesmith_data_datasets.entries import Entry
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_testing.parts import ByteStage, StubPlan, text_rows


def splits(*train, **options):
    evaluation = [Entry(path=str(path), format="text") for path in options.pop("eval", ())]
    entries = [Entry(**{"format": "text", **item}) for item in train]
    plugin = Datasets(train=entries, eval=evaluation, streaming=True, cache=False, **options)
    encoder = Encoder(ByteStage(), None, ChatTemplate("none", "", ()), "1")
    return plugin.build_dataset(fetch=lambda address, revision=None: Path(address), to_rows=text_rows, encode=encoder)


def stream(*train, **options):
    return splits(*({"path": str(path)} if isinstance(path, Path) else path for path in train), **options).train


def write(path, texts):
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return path


def first(examples, count):
    return [bytes(example["input_ids"].tolist()).decode() for example in itertools.islice(examples, count)]


def test_in_order_and_again(tmp_path):
    """Without a buffer: the sets one behind the other, their encoded rows once, and then again."""
    one, two = write(tmp_path / "a.jsonl", ["a", "drop", "b"]), write(tmp_path / "b.jsonl", ["c", "d", "e"])
    examples = stream(one, two, shuffle_buffer=1, batch_size=2)
    assert first(examples, 12) == ["a", "b", "c", "d", "e"] * 2 + ["a", "b"]
    assert first(stream(one, two, shuffle_buffer=1, max_samples=1), 4) == ["a", "c", "a", "c"]


def test_shuffled_by_the_seed_alone(tmp_path):
    texts = [f"text {number}" for number in range(200)]
    file = write(tmp_path / "a.jsonl", texts)
    order = first(stream(file, shuffle_buffer=50), 1000)
    assert order == first(stream(file, shuffle_buffer=50, batch_size=7), 1000), "the same again, in other batches"
    assert order != first(stream(file, shuffle_buffer=50, shuffle_seed=1), 1000)
    assert order[:200] != texts and set(order) == set(texts)
    # What was given and what is held back are whole passes: 950 + 50 of 200 texts, so none came more than 5 times.
    assert sum(Counter(order[:950]).values()) == 950 and max(Counter(order[:950]).values()) <= 5
    assert min(Counter(order).values()) >= 3


def test_drawn_by_weight(tmp_path):
    """Shares as the weights say, each set beginning again by itself."""
    one, two = write(tmp_path / "a.jsonl", ["a"] * 10), write(tmp_path / "b.jsonl", [f"b{n}" for n in range(1000)])
    weighted = [{"path": str(one), "weight": 3.0}, {"path": str(two), "weight": 1.0}]
    found = first(stream(*weighted, mix="interleave_under", shuffle_buffer=1), 2000)
    assert found.count("a") / 2000 == pytest.approx(0.75, abs=0.04)
    assert [text for text in found if text != "a"] == [f"b{n}" for n in range(2000 - found.count("a"))]
    sampled = [{"path": str(one), "samples": 300}, {"path": str(two), "samples": 100}]
    assert first(stream(*sampled, mix="interleave_under", shuffle_buffer=1), 2000) == found, "samples are shares"


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_share_the_rows(workers, tmp_path):
    """A pass of all workers together has every example once."""
    from torch.utils.data import DataLoader

    texts = [f"text {number}" for number in range(60)]
    examples = stream(write(tmp_path / "a.jsonl", texts), shuffle_buffer=1, batch_size=5)
    loader = DataLoader(examples, batch_size=None, num_workers=workers, multiprocessing_context="fork")
    assert sorted(first(loader, 60)) == sorted(texts)


def test_evaluation_sets_are_whole(tmp_path):
    file, held = write(tmp_path / "a.jsonl", ["a"]), write(tmp_path / "held.jsonl", ["x", "y"])
    found = splits({"path": str(file)}, eval=[held])
    assert [bytes(row["input_ids"].tolist()) for row in found.eval["held"]] == [b"x", b"y"]
    assert not hasattr(found.train, "__len__")


def test_nothing_to_train_on(tmp_path):
    """A pass without an example is an error, not an endless search."""
    file = write(tmp_path / "a.jsonl", ["drop", "drop"])
    for mix in ("concat", "interleave_under"):
        with pytest.raises(DataError, match=r"a\.jsonl: the stage made no example"):
            first(stream(file, mix=mix), 1)


def test_errors_name_the_place(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "a"}\n{"text": \n', encoding="utf-8")
    with pytest.raises(DataError, match=r"data\.train\[0\].*a\.jsonl, line 2|a\.jsonl, line 2"):
        first(stream(file, shuffle_buffer=1, batch_size=1), 2)


MEMORY = """
import itertools, resource, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from test_data_datasets_streaming import stream
examples = iter(stream(Path(sys.argv[2]), shuffle_buffer=100, batch_size=100))
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
next(examples)
before = peak()
tokens = sum(len(example["input_ids"]) for example in itertools.islice(examples, 20_000))
print(tokens, peak() - before)
"""


@pytest.mark.slow
def test_memory_stays_flat(tmp_path):
    """20 MB of text are passed through; the process grows by a part of that (in MiB), although ids take 4 bytes."""
    file = write(tmp_path / "a.jsonl", ("x" * 1000 for _ in range(20_000)))
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(Path(__file__).parent), str(file)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    tokens, grown = done.stdout.split()[-2:]
    assert int(tokens) == 20_000_000
    assert float(grown) < 10


def test_to_show_some_a_part_is_read(tmp_path, monkeypatch):
    """`tunesmith data show` looks into a large set without encoding all of it; evaluation sets are whole."""
    monkeypatch.setattr("tunesmith_data_datasets._PEEKED", 3)
    file, held = write(tmp_path / "a.jsonl", "abcdefg"), write(tmp_path / "held.jsonl", "vwxyz")
    entries = [[Entry(path=str(path), format="text")] for path in (file, held)]
    plugin = Datasets(train=entries[0], eval=entries[1], streaming=True, cache=False)
    plugin.configured(plan=StubPlan({"data": {"datasets": plugin}}, "show"))
    encoder = Encoder(ByteStage(), None, ChatTemplate("none", "", ()), "1")
    found = plugin.build_dataset(fetch=lambda address, revision=None: Path(address), to_rows=text_rows, encode=encoder)
    assert (len(found.train), len(found.eval["held"])) == (3, 5)


@plugin
class Streaming:
    """A stage that streams."""

    traits: ClassVar[StageTraits] = StageTraits(streams=True)


@plugin
class Whole:
    """A stage that says nothing of streams."""


@plugin
class Calibrating:
    """A quantizer that looks at training data."""

    traits: ClassVar[QuantizerTraits] = QuantizerTraits(calibrates=True)


def check(command="train", values=None, stage=Streaming, quantizer=None, **options):
    made = Datasets(streaming=True, **options)
    parts = {"data": {"datasets": made}, "stage": {"mine": stage()}}
    parts |= {"quantizer": {"some": quantizer()}} if quantizer else {}
    catalog = Catalog.of({"stage.mine": Streaming, "stage.whole": Whole})
    found = made.check(plan=StubPlan(parts, command, {"trainer.max_steps": 10, **(values or {})}, catalog))
    return [problem for problem in found if problem.key != "data.train"]


def problems(*arguments, **options):
    return [(problem.key, problem.severity) for problem in check(*arguments, **options)]


def test_what_streaming_does_not_go_with(tmp_path):
    assert problems() == []
    assert problems(values={"trainer.max_steps": -1}) == [("trainer.max_steps", "error")]
    assert problems(command="show", values={"trainer.max_steps": -1}) == []
    assert problems(val_size=0.1) == [("data.val_size", "error")]
    assert problems(quantizer=Calibrating) == [("data.streaming", "error")]
    assert problems(quantizer=Whole) == []
    held = [Entry(path=str(write(tmp_path / "held.jsonl", ["x"])), format="text")]
    found = problems(eval=held, values={"trainer.eval_strategy": "auto"})
    assert ("trainer.eval_strategy", "warning") in found


def test_a_stage_that_does_not_say_that_it_streams():
    (problem,) = check(stage=Whole)
    assert problem.key == "data.streaming" and "stage=mine needs all of them beforehand" in problem.message
    assert problem.advice == "data.streaming=false, or a stage that streams: mine", "whatever is installed is asked"


def test_examples_say_of_which_set_they_are(tmp_path):
    one, two = write(tmp_path / "a.jsonl", ["a1", "drop", "a2"]), write(tmp_path / "b.jsonl", ["b1", "b2"])
    for mix in ("concat", "interleave_under"):
        found = list(itertools.islice(stream(one, two, mix=mix, shuffle_buffer=3), 50))
        assert {example["dataset"] for example in found} == {"a", "b"}
        assert all(bytes(example["input_ids"].tolist()).decode()[0] == example["dataset"] for example in found)
    assert "dataset" not in next(iter(stream(one)))
