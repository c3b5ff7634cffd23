"""What an epoch has of each of several sets: how many, which ones, in which order, and what is said of it."""

import json
from collections import Counter
from pathlib import Path

import datasets
import numpy as np
import pytest
from tunesmith import DataError
from tunesmith.types import Encoder
from tunesmith_data_datasets import Datasets
from tunesmith_data_datasets.checking import mix_problems
from tunesmith_data_datasets.drawing import Mixture, Part, drawn
from tunesmith_data_datasets.entries import Entry, Source
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_testing.parts import ByteStage, StubPlan, text_rows


def build(tmp_path, *train, evaluation=(), **options):
    """The splits of sets of texts: (name, texts, options of the entry)."""

    def entry(name, texts, more):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        return Entry(path=str(path), format="text", **more)

    plugin = Datasets(
        train=[entry(*item) for item in train], eval=[entry(*item) for item in evaluation], cache=False, **options
    )

    return plugin.build_dataset(
        fetch=lambda address, revision=None: Path(address),
        to_rows=text_rows,
        encode=Encoder(ByteStage(), None, ChatTemplate("none", "", ()), "1"),
    )


def texts(examples):
    return [bytes(examples[index]["input_ids"].tolist()).decode() for index in range(len(examples))]


def named(name, count, **options):
    return name, [f"{name}{number}" for number in range(count)], options


@pytest.mark.parametrize(
    ("mix", "rule"), [("interleave_under", "first_exhausted"), ("interleave_over", "all_exhausted")]
)
@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (5.0, 0.5, 1.0)])
def test_the_order_of_an_interleaved_mix(mix, rule, weights):
    """The same rows as those of `datasets`."""
    sizes = (90, 30, 61)
    starts = np.cumsum((0, *sizes))
    sets = [datasets.Dataset.from_dict({"row": range(starts[n], starts[n + 1])}) for n in range(3)]
    shares = [weight / sum(weights) for weight in weights]
    wanted = datasets.interleave_datasets(sets, probabilities=shares, seed=3, stopping_strategy=rule)["row"]
    parts = [Part("", size, None, weight) for size, weight in zip(sizes, weights, strict=True)]
    assert Mixture(parts, mix, 3).rows().tolist() == list(wanted)


def test_an_interleaved_mix_of_many(monkeypatch):
    """However many draws are made at a time, the mix is the same."""
    parts = [Part("", 1000, None, 3.0), Part("", 200, None, 1.0)]
    whole = {mix: Mixture(parts, mix, 3).rows().tolist() for mix in ("interleave_under", "interleave_over")}
    monkeypatch.setattr("tunesmith_data_datasets.drawing._CHUNK", 7)
    assert whole == {mix: Mixture(parts, mix, 3).rows().tolist() for mix in whole}


def test_all_used_up_each_once():
    parts = [Part("", 300, None, 1.0), Part("", 100, None, 9.0), Part("", 3, None, 1e-6)]
    rows = Mixture(parts, "interleave_once", 0).rows()
    assert sorted(rows) == list(range(403)) and list(rows) == list(Mixture(parts, "interleave_once", 0).rows())
    assert [row for row in rows if row < 300] == list(range(300)), "each set in its order"
    assert sum(300 <= row < 400 for row in rows[:100]) > 80, "nine of ten, until they are used up"


def test_weights_that_would_never_end():
    with pytest.raises(DataError, match="an epoch has about"):
        Mixture([Part("a", 10**6, None, 1e-6), Part("b", 10, None, 1e6)], "interleave_over", 0)


@pytest.mark.parametrize(("size", "count"), [(10, 3), (10, 10), (10, 34), (7, 5), (50, 20), (1, 4)])
def test_draws(size, count):
    """Each place as often as any other, or once more; and over epochs none again before the others have come."""
    epochs = [drawn(size, count, epoch, (1,)) for epoch in range(3 * size)]
    for rows in epochs:
        times = Counter(rows.tolist())
        assert len(rows) == count and max(times.values(), default=0) <= -(-count // size)
        assert all(times[row] >= count // size for row in range(size))
    for end in range(1, len(epochs)):
        times = np.bincount(np.concatenate(epochs[:end]), minlength=size)
        assert times.max() - times.min() <= 1
    assert all((a == b).all() for a, b in zip(epochs, (drawn(size, count, n, (1,)) for n in range(99)), strict=False))


def test_samples_of_sets(tmp_path):
    """Fewer than there are: drawn by the seed, and not the first ones. More: repeated, evenly."""
    sets = named("a", 100, samples=10), named("b", 4, samples=10), named("c", 5)
    splits = build(tmp_path, *sets)
    found = texts(splits.train)
    count = Counter(text[0] for text in found)
    assert count == {"a": 10, "b": 10, "c": 5} and len({text for text in found if text[0] == "a"}) == 10
    assert [f"a{n}" for n in range(10)] != found[:10]
    assert sorted(Counter(text for text in found if text[0] == "b").values()) == [2, 2, 3, 3]
    parts = [Part("a", 100, 10), Part("b", 4, 10), Part("c", 5)]
    rows = [Mixture(parts, "concat", seed).rows().tolist() for seed in (42, 42, 1)]
    assert rows[0] == rows[1] != rows[2] and found[:10] == [f"a{row}" for row in rows[0][:10]]
    assert not hasattr(splits.train, "set_epoch")


def test_samples_of_an_interleaved_mix():
    """The mix ends when as many as were asked for are used up."""
    parts = [Part("a", 1000, 50, 1.0), Part("b", 1000, None, 3.0)]
    under, over = (Mixture(parts, mix, 42).rows() for mix in ("interleave_under", "interleave_over"))
    own = under[under < 1000]
    assert len(set(own)) == len(own) == 50 and max(own) > 50
    own = over[over < 1000]
    assert len(set(own)) == 50 < len(own) and set(over[over >= 1000]) == set(range(1000, 2000))


@pytest.mark.parametrize("mix", ["concat", "interleave_under", "interleave_over"])
def test_a_fresh_sample_each_epoch(tmp_path, mix):
    sets = named("a", 40, samples=10), named("b", 30)
    train = build(tmp_path, *sets, mix=mix, resample=True).train
    size, epochs = len(train), []
    for epoch in range(4):
        train.set_epoch(epoch)
        assert len(train) == size
        epochs.append(texts(train))
    own = [{text for text in found if text[0] == "a"} for found in epochs]
    assert set.union(*own) == {f"a{n}" for n in range(40)} or mix == "interleave_under", "all have come after 4 epochs"
    assert [len(some) for some in own] == [len(own[0])] * 4 and own[0] != own[1]
    assert len({tuple(text[0] for text in found) for found in epochs}) == 1, "the sets come in the same order"
    train.set_epoch(2)
    assert texts(train) == epochs[2], "any epoch by itself"
    rows = train.__getitems__([3, 0])
    assert [bytes(row["input_ids"].tolist()).decode() for row in rows] == [epochs[2][3], epochs[2][0]]


def test_evaluation_sets_of_some_samples(tmp_path):
    splits = build(tmp_path, named("t", 3), evaluation=[named("x", 50, samples=5), named("y", 3, samples=9)])
    assert len(set(texts(splits.eval["x"]))) == 5 and texts(splits.eval["y"]) == ["y0", "y1", "y2"]


def test_what_is_said(tmp_path, monkeypatch):
    said = {}
    monkeypatch.setattr("tunesmith_data_datasets.mixing.announce", lambda *parts: said.update({parts[0]: parts[1:]}))
    build(tmp_path, named("a", 40, samples=10), named("b", 5, samples=30), resample=True)
    assert said["mix a"] == (
        "10 examples, of 10 of its 40, drawn anew in each epoch",
        "25.0% of an epoch; each 0.25 times",
    )
    assert said["mix b"] == ("30 examples, of 5 of its 5", "75.0% of an epoch; each 6 times")


def problems(*entries, values=None, **options):
    sources = [
        Source(f"data.train[{number}]", str(number), Entry(path="x", **entry)) for number, entry in enumerate(entries)
    ]
    found = mix_problems(Datasets(**options), sources, StubPlan({}, "train", values or {}))
    return [(str(problem.key), problem.severity) for problem in found]


def test_what_has_no_meaning():
    assert problems({"samples": 3}) == problems({"samples": 3}, {}, mix="interleave_over", resample=True) == []
    assert problems({"samples": 3}, streaming=True) == [("data.train[0].samples", "error")]
    interleaved = {"streaming": True, "mix": "interleave_under"}
    assert problems({"samples": 3}, {"samples": 1}, **interleaved) == []
    assert problems({"samples": 3}, {}, **interleaved) == [("data.train[1]", "error")]
    assert problems({"samples": 3, "weight": 2.0}, {"samples": 3}, **interleaved) == [("data.train[0]", "error")]
    assert problems({}, streaming=True, mix="interleave_once") == [("data.mix", "error")]
    assert problems({}, resample=True) == [("data.resample", "warning")]
    assert problems({"samples": 3}, resample=True) == problems({}, {}, resample=True, mix="interleave_under") == []
    assert problems({}, {}, resample=True, mix="interleave_once") == [("data.resample", "warning")]
    assert problems({}, resample=True, streaming=True) == [("data.resample", "error")]
    values = {"stage.precompute_reference": True}
    assert problems({"samples": 3}, resample=True, values=values) == [("data.resample", "error")]
    assert problems({}, {"weight": 2.0}) == [("data.train[1].weight", "error")]
