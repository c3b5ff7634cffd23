"""Examples that come again are counted by their content, within an epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tunesmith_library_training import repeats
from tunesmith_library_training.repeats import FINGERPRINTS, Repeats, fingerprints


def batch(*numbers: int) -> dict[str, Any]:
    return {FINGERPRINTS: list(numbers)}


def told(seen: Repeats, batches: list[dict[str, Any]], epoch: int) -> tuple[int, int]:
    seen.trained(batches, epoch)
    return seen.told()


def test_counts_within_an_epoch() -> None:
    seen = Repeats()
    assert told(seen, [batch(1, 2), batch(3, 1)], epoch=0) == (4, 1)
    assert told(seen, [batch(3, 4)], epoch=0) == (2, 1)
    assert told(seen, [batch(1, 2, 3, 4)], epoch=1) == (4, 0)
    assert told(seen, [{}], epoch=1) == (0, 0), "a stream has none"


def test_counts_those_of_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that are alike are counted, whoever is trained on them, and epochs are kept apart."""
    monkeypatch.setattr(repeats.processes, "gathered", lambda new, group: [new, [(0, [2, 5]), (1, [9, 7])]])
    seen = Repeats()
    seen.trained([batch(1, 2)], epoch=0)
    seen.trained([batch(9, 2)], epoch=1)
    assert seen.told() == (8, 2)


def test_batches_are_left_without_them() -> None:
    made = {**batch(1), "input_ids": [5]}
    Repeats().trained([made], epoch=0)
    assert made == {"input_ids": [5]}


def test_remembers_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "MOST", 2)
    seen = Repeats()
    seen.trained([batch(1, 2, 3)], epoch=0)
    assert told(seen, [batch(1, 2, 3)], epoch=0) == (6, 2)


def test_content_decides() -> None:
    """Labels, images and weights belong to it, the name of the data set does not."""
    plain = {"input_ids": [5, 6], "labels": [-100, 6], "dataset": "a"}
    same = [plain, {**plain, "dataset": "b"}, {**plain, "input_ids": [5, 6]}]
    others = [{**plain, "labels": [5, 6]}, {**plain, "input_ids": [5, 7]}, {**plain, "images": ["a.png"]}]
    assert len(set(fingerprints(same))) == 1
    assert len(set(fingerprints([plain, *others]))) == 4
    arrays = [{"input_ids": np.array(ids, np.int32)} for ids in ([5, 6], [5, 6], [6, 5])]
    first, second, third = fingerprints(arrays)
    assert first == second != third
