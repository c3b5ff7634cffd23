"""Examples and tokens by data set: of a batch, over processes, and over a resumption."""

from __future__ import annotations

from typing import Any

import pytest
from tunesmith_library_training import processes
from tunesmith_library_training.counts import COUNTS, Counts, counted, named

PAIR = {"chosen_input_ids": [1, 2, 3], "chosen_labels": [1, 2, 3], "rejected_input_ids": [1], "dataset": "pairs"}
TALK = {"input_ids": [1, 2], "labels": [-100, 2], "dataset": "talks"}


def test_a_batch() -> None:
    """All sequences of an example count, its labels do not."""
    assert counted([PAIR, TALK, TALK, {**TALK, "input_ids": []}]) == {"pairs": [1, 4], "talks": [3, 4]}
    assert counted([{"input_ids": [1]}]) == {}


def test_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Counts({"talks": [10, 100]})
    batches: list[dict[str, Any]] = [{COUNTS: counted([PAIR])}, {"input_ids": 1, COUNTS: counted([TALK, PAIR])}, {}]
    run.trained(batches)
    assert batches == [{}, {"input_ids": 1}, {}]
    assert run.totals() == {"pairs": [2, 8], "talks": [11, 102]}
    monkeypatch.setattr(processes, "gathered", lambda own, group=None: [own, {"talks": [1, 1]}, {"third": [5, 6]}])
    assert run.totals() == {"pairs": [2, 8], "talks": [12, 103], "third": [5, 6]}
    assert named(run.totals())["examples_of_talks"] == 12 and named(run.totals())["tokens_of_third"] == 6
