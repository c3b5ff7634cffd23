"""Examples that come again, in a set, across sets, and in evaluation sets: left out where asked, told in any case."""

import json
from pathlib import Path

import datasets
import numpy as np
import pytest
from tunesmith import DataError
from tunesmith.types import Encoder
from tunesmith_data_datasets import Datasets
from tunesmith_data_datasets.checking import mix_problems, stream_problems
from tunesmith_data_datasets.duplicates import _digests, _first_places
from tunesmith_data_datasets.entries import Entry
from tunesmith_library_chat import ChatTemplate
from tunesmith_library_testing.parts import ByteStage, StubPlan, text_rows


def build(tmp_path, train, evaluation=(), **options):
    """The texts of the splits of sets, each a name and its texts."""

    def entry(name, texts):
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        return Entry(path=str(path), format="text")

    plugin = Datasets(
        train=[entry(*item) for item in train], eval=[entry(*item) for item in evaluation], cache=False, **options
    )
    splits = plugin.build_dataset(
        fetch=lambda address, revision=None: Path(address),
        to_rows=text_rows,
        encode=Encoder(ByteStage(), None, ChatTemplate("none", "", ()), "1"),
    )
    return texts_of(splits.train), {name: texts_of(examples) for name, examples in splits.eval.items()}


def texts_of(examples):
    return [bytes(examples[index]["input_ids"].tolist()).decode() for index in range(len(examples))]


SETS = [("a", ["x", "y", "x", "z", "x"]), ("b", ["q", "y", "q", "x", "r"])]


def test_across_sets(tmp_path, caplog):
    """The first one stays, wherever it stands; each set says what it lost to whom."""
    assert build(tmp_path, SETS)[0] == SETS[0][1] + SETS[1][1] and not caplog.records
    assert build(tmp_path, SETS, deduplicate=True)[0] == ["x", "y", "z", "q", "r"]
    assert [record.getMessage() for record in caplog.records] == [
        "data a: 2 of 5 examples are left out, for they are: 2 before in it",
        "data b: 3 of 5 examples are left out, for they are: 1 before in it, 2 in a",
    ]
    with pytest.raises(DataError, match=r"data b: nothing of it is left by data\.deduplicate: 2 in a"):
        build(tmp_path, [("a", ["x", "y"]), ("b", ["y", "x"])], deduplicate=True)


def test_evaluation_sets(tmp_path, caplog):
    """Told in any case, and left out of the training where that is asked for."""
    held = [("held", ["y", "s"]), ("other", ["q", "y"])]
    train, evaluation = build(tmp_path, SETS, held)
    assert train == SETS[0][1] + SETS[1][1]
    advice = "; data.deduplicate=true leaves them out of the training"
    assert [record.getMessage() for record in caplog.records] == [
        f"data a: 1 of 5 examples are in evaluation sets, too: 1 in held{advice}",
        f"data b: 3 of 5 examples are in evaluation sets, too: 2 in other, 1 in held{advice}",
    ]
    caplog.clear()
    train, evaluation = build(tmp_path, SETS, held, deduplicate=True)
    assert train == ["x", "z", "r"] and evaluation == {"held": ["y", "s"], "other": ["q", "y"]}
    said = "data b: 1 of 2 examples are left out, for they are: in evaluation sets, 1 in other"
    assert caplog.records[-1].getMessage() == said


def test_what_is_held_out(tmp_path, caplog):
    """Of a set with every text twice some stand on both sides, unless they are left out before."""
    texts = [f"text {number}" for number in range(40)]
    build(tmp_path, [("a", texts * 2)], val_size=20)
    assert "in evaluation sets, too" in caplog.text and "in validation" in caplog.text
    caplog.clear()
    train, evaluation = build(tmp_path, [("a", texts * 2)], val_size=20, deduplicate=True)
    assert sorted(train + evaluation["validation"]) == sorted(texts) and "validation" not in caplog.text


def test_what_makes_examples_the_same():
    """All columns, whatever width and type a set has them in; not the name of the set."""
    from datasets import Dataset, Features, List, Value

    wide = Features({"input_ids": List(Value("int64")), "images": List(Value("string")), "w": List(Value("float64"))})
    rows = {"input_ids": [[1, 2], [1, 2], [1, 2], [], [1, 2]], "images": [["a"], [], None, [], ["a"]]}
    rows["w"] = [[0.5, 1.0], [], [], [], [0.5, 1.0]]
    one = Dataset.from_dict(rows, wide)
    narrow = Features({"input_ids": List(Value("int32")), "w": List(Value("float32")), "dataset": Value("string")})
    two = Dataset.from_dict({"input_ids": [[1, 2], [2, 1]], "w": [[], []], "dataset": ["n", "n"]}, narrow)
    places = _first_places(np.concatenate([_digests(one), _digests(two)]))
    assert places.tolist() == [0, 1, 2, 3, 0, 2, 6]
    assert (_digests(one.select([4, 1])) == _digests(one)[[4, 1]]).all()
    assert not len(_digests(one.select([])))


def test_many_at_once():
    """Against a dictionary."""
    values = np.random.default_rng(0).integers(0, 400, (1500, 2))
    first = {}
    wanted = [first.setdefault(tuple(value), place) for place, value in enumerate(values.tolist())]
    digests = _digests(datasets.Dataset.from_dict({"input_ids": values.tolist()}))
    assert _first_places(digests).tolist() == wanted


def test_what_it_does_not_go_with():
    options = Datasets(deduplicate=True)
    assert mix_problems(options, [], StubPlan({}, "train", {})) == []
    (problem,) = mix_problems(options, [], StubPlan({}, "train", {"stage.packing": True}))
    assert str(problem.key) == "data.deduplicate"
    streamed = stream_problems(
        Datasets(deduplicate=True, streaming=True), StubPlan({}, "train", {"trainer.max_steps": 9})
    )
    assert "data.deduplicate" in [str(problem.key) for problem in streamed]
