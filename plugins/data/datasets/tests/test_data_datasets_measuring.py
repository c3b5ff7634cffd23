"""What is read when a model is only measured: the evaluation sets, or what is held out where there are none."""

import json
from pathlib import Path

import pytest
from tunesmith import DataError, hookimpl, plugin
from tunesmith.types import Encoder
from tunesmith_data_datasets import Datasets
from tunesmith_data_datasets.entries import Entry
from tunesmith_library_testing.parts import StubPlan


def entry(path, **options):
    return Entry(path=str(path), format="text", **options)


@plugin
class Text:
    """Plain text."""

    @hookimpl
    def to_rows(self, records, columns):
        return ({"text": record["text"]} for record in records)


@pytest.fixture
def files(tmp_path):
    for name in ("train", "test"):
        lines = [json.dumps({"text": f"{name} {number}"}) for number in range(10)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return {name: tmp_path / f"{name}.jsonl" for name in ("train", "test")}


def measured(**options):
    """The splits as `tunesmith eval` gets them, and the problems that its plan has."""
    data = Datasets(cache=False, num_proc=1, **options)
    plan = StubPlan({"data": {"datasets": data}, "format": {"text": Text()}}, "eval")
    problems = data.check(plan=plan)
    data.configured(plan=plan)
    encode = Encoder(lambda rows, processor, template: {"text": [row["text"] for row in rows]}, None, None, "1")
    splits = data.build_dataset(
        fetch=lambda address, revision=None: Path(address),
        to_rows=lambda name, records, columns: Text().to_rows(records, columns),
        encode=encode,
    )
    return splits, problems


def test_only_the_evaluation_sets(files, tmp_path):
    gone = [entry(tmp_path / "gone.jsonl"), entry("unknown")]
    splits, problems = measured(train=gone, eval=[entry(files["test"])], streaming=True, val_size=0.5)
    assert problems == [] and len(splits.train) == 0
    assert [splits.eval["test"][index]["text"] for index in range(2)] == ["test 0", "test 1"]
    assert list(splits.eval) == ["test"]


def test_what_was_held_out_of_training(files):
    options = {"train": [entry(files["train"])], "val_size": 3, "shuffle_seed": 7}
    splits, _ = measured(**options)
    assert len(splits.eval["validation"]) == 3 and len(splits.train) == 7


def test_nothing_to_measure_on(files):
    with pytest.raises(DataError, match=r"no evaluation data; write data\.eval="):
        measured(train=[entry(files["train"])])
