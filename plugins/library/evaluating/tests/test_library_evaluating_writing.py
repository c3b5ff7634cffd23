"""Evaluations as files, written and read back."""

import json
import math

import pytest
from tunesmith import DataError
from tunesmith_library_evaluating import Evaluation, Measured
from tunesmith_library_evaluating.writing import found_in, read, write

RECORDS = [{"dataset": "a", "index": 0, "b": 1.0, "prediction": "鲸鱼"}]
FOUND = Evaluation({"a": {"b": Measured(1.0, 0.5, 4, False)}}, RECORDS, {"shots": 5}, "x", {"path": "m"})


def test_what_is_written_is_read_back(tmp_path):
    target = write(FOUND, tmp_path)
    assert target == tmp_path / "eval" / "x" / "results.json"
    assert read(target.parent) == FOUND
    assert sorted(file.name for file in target.parent.iterdir()) == ["results.json", "samples.jsonl"]
    assert "鲸鱼" in (target.parent / "samples.jsonl").read_text(encoding="utf-8")


def test_other_evaluations_stay(tmp_path):
    write(FOUND, tmp_path)
    private = write(Evaluation({"a": {"b": Measured(math.inf)}}, name="/home/me/mine.py:score"), tmp_path)
    assert private.parent.name == "mine.py_score"
    assert json.loads(private.read_text())["metrics"]["a"]["b"]["value"] is None
    assert read(private.parent).metrics["a"]["b"].value == math.inf
    assert list(found_in(tmp_path)) == ["mine.py_score", "x"]


def test_steps_of_a_training(tmp_path):
    """The last one stands for the run until its result is measured; each may be named."""
    for step in (5, 10, 100):
        write(FOUND, tmp_path, step=step)
    assert found_in(tmp_path) == {"x": tmp_path / "eval" / "x" / "step-100"}
    assert found_in(tmp_path / "eval" / "x" / "step-5") == {"x": tmp_path / "eval" / "x" / "step-5"}
    assert json.loads((tmp_path / "eval" / "x" / "step-5" / "results.json").read_text())["step"] == 5
    write(FOUND, tmp_path)
    assert found_in(tmp_path) == {"x": tmp_path / "eval" / "x"}


def test_the_model_before_stands_beside(tmp_path):
    records = [{"dataset": "a", "index": 0, "b": 2.0}]
    before = Evaluation({"a": {"b": Measured(2.0)}}, records, {}, "x", {"path": "base"})
    target = write(FOUND, tmp_path, before=before)
    told = json.loads(target.read_text())
    assert (told["before"]["metrics"]["a"]["b"]["value"], told["before"]["model"]) == (2.0, {"path": "base"})
    assert json.loads((target.parent / "samples-before.jsonl").read_text()) == records[0]


def test_files_that_are_none(tmp_path):
    write(FOUND, tmp_path)
    (tmp_path / "eval" / "x" / "results.json").write_text("[]")
    with pytest.raises(DataError, match="holds no evaluation that can be read"):
        read(tmp_path / "eval" / "x")
    assert found_in(tmp_path / "nowhere") == {}
