"""Runs side by side."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from tunesmith import TunesmithError
from tunesmith_library_studio.evaluations.results import numbers_of
from tunesmith_library_studio.runs import Runs, comparing
from tunesmith_library_studio.workspace import Workspace


def test_only_what_differs_is_shown_and_of_other_plugins_the_name() -> None:
    first = {"tunesmith": "1", "seed": 1, "adapter": {"name": "lora", "rank": 8}, "trainer": {"name": "t", "steps": 5}}
    second = {
        "tunesmith": "2",
        "seed": 1,
        "adapter": {"name": "full", "freeze": []},
        "trainer": {"name": "t", "steps": 9},
    }
    third = {**second, "data": {"train": ["a|b"]}}
    assert comparing.differences([first, second, third]) == [
        {"key": "adapter.name", "values": ["lora", "full", "full"]},
        {"key": "trainer.steps", "values": [5, 9, 9]},
        {"key": "data.train", "values": [None, None, ["a|b"]]},
    ]
    assert comparing.differences([first, first]) == []


def entry(path: str, **more: object) -> dict[str, object]:
    return {"path": path, "format": "auto", "split": None, "weight": 1.0, "columns": {}, **more}


def test_entries_of_lists_differ_leaf_by_leaf_without_what_is_usual() -> None:
    first = {"data": {"train": [entry("a"), entry("b")], "eval": []}, "adapter": {"targets": ["q", "v"]}}
    second = {"data": {"train": [entry("c")], "eval": [entry("d", weight=2.0)]}, "adapter": {"targets": "all"}}
    assert comparing.differences([first, second]) == [
        {"key": "data.train[0].path", "values": ["a", "c"]},
        {"key": "data.train[1].path", "values": ["b", None]},
        {"key": "adapter.targets", "values": [["q", "v"], "all"]},
        {"key": "data.eval[0].path", "values": [None, "d"]},
        {"key": "data.eval[0].weight", "values": [None, 2.0]},
    ]
    weighted = {"data": {"train": [entry("a", weight=2.0), entry("b", tags={"role": "who"})], "eval": []}}
    assert [each["key"] for each in comparing.differences([{"data": first["data"]}, weighted])] == [
        "data.train[0].weight",
        "data.train[1].tags.role",
    ]
    itself = {"data": {"train": [entry("a"), entry("b")], "eval": [entry("a")]}}
    assert comparing.differences([{"data": first["data"]}, itself]) == [
        {"key": "data.eval[0].path", "values": [None, "a"]}
    ]


def test_what_a_record_resolves_is_no_difference() -> None:
    first = {"format": {"alpaca": {"lines": 1}}, "hub": {"local": {}}}
    second = {"format": {"sharegpt": {}, "alpaca": {"lines": 2}}, "hub": {"huggingface": {"token": None}}}
    assert comparing.differences([first, second]) == [{"key": "format.alpaca.lines", "values": [1, 2]}]


def test_a_comparison_is_kept_as_a_table(tmp_path: Path) -> None:
    workspace = Workspace(Path("runs"), tmp_path)
    for name, rank in (("a", 8), ("=b|c", 16)):
        folder = workspace.runs / name
        (folder / "eval" / "perplexity").mkdir(parents=True)
        (folder / "run.yaml").write_text(f"adapter: {{name: lora, rank: {rank}}}\n")
        number = f'{{"value": {rank}.5, "standard_error": 0.25, "count": 4, "greater_is_better": false}}'
        text = f'{{"evaluator": "perplexity", "metrics": {{"set": {{"loss": {number}}}}}}}'
        (folder / "eval" / "perplexity" / "results.json").write_text(text)
    compared = Runs(workspace).compare(["a", "=b|c"], numbers_of)
    table = comparing.as_table(compared)
    assert table[0] == ["", "a", "=b|c"]
    assert ["adapter.rank", "8", "16"] in table
    assert table[-1] == ["perplexity: set: loss", "8.5 ± 0.25", "16.5 ± 0.25"]
    assert comparing.as_markdown(table).splitlines()[:2] == ["|  | a | =b\\|c |", "|---|---|---|"]
    assert next(csv.reader(io.StringIO(comparing.as_csv(table)))) == ["", "a", "'=b|c"], "no formula"


@pytest.mark.parametrize("names", [[], ["a"], ["a", "a"], ["a", "nothing"]])
def test_what_cannot_be_compared_is_refused(tmp_path: Path, names: list[str]) -> None:
    workspace = Workspace(Path("runs"), tmp_path)
    (workspace.runs / "a").mkdir(parents=True)
    (workspace.runs / "a" / "run.yaml").write_text("seed: 1\n")
    with pytest.raises(TunesmithError):
        Runs(workspace).compare(names, numbers_of)
