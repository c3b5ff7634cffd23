"""Running moments against float64, and what checkpoints keep for a plugin."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
import torch
from tunesmith_library_training import checkpoints, processes, remembering
from tunesmith_library_training.moments import Moments

PARTS = [[3.0, 5.5, 1000.25], [1001.0], [], [-7.0, 999.5, 1000.0, 2.0]]
ALL = [value for part in PARTS for value in part]


def test_moments_of_all_that_was_seen() -> None:
    moments = Moments()
    for count, part in enumerate(PARTS, 1):
        moments.add(torch.tensor(part))
        seen = [value for some in PARTS[:count] for value in some]
        assert moments.mean == pytest.approx(statistics.fmean(seen), rel=1e-6)
        assert moments.deviation == pytest.approx(statistics.stdev(seen), rel=1e-5)
    again = Moments()
    again.restore(moments.kept())
    assert again == moments


def test_moments_of_few() -> None:
    assert (Moments().mean, Moments().deviation) == (0.0, 1.0)
    single = Moments()
    single.add(torch.tensor([4.0]))
    assert (single.mean, single.deviation) == (4.0, 1.0)
    single.add(torch.tensor([4.0, 4.0]))
    assert (single.mean, single.deviation) == (4.0, 0.0)


def test_weights_count_as_often() -> None:
    weighted, repeated = Moments(), Moments()
    weighted.add(torch.tensor([1.0, 2.0, 9.0]), torch.tensor([2.0, 0.0, 3.0]))
    repeated.add(torch.tensor([1.0, 1.0, 9.0, 9.0, 9.0]))
    assert weighted.kept() == pytest.approx(repeated.kept())


def test_numbers_of_all_processes_count(monkeypatch: pytest.MonkeyPatch) -> None:
    other = torch.tensor([2.0, 1.0 + 5.0, 1.0 + 25.0])  # the sums of 1 and 5 on another process
    monkeypatch.setattr(processes, "total", lambda values: values + other)
    moments = Moments()
    moments.add(torch.tensor([3.0, 4.0, 8.0]))
    assert (moments.count, moments.mean) == (5.0, pytest.approx(4.2))
    assert moments.deviation == pytest.approx(statistics.stdev([1.0, 5.0, 3.0, 4.0, 8.0]))


def test_checkpoints_keep_what_is_to_be_remembered(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model, moments = torch.nn.Linear(1, 1), Moments()
    assert remembering.kept(model) == {}
    remembering.remember(model, "the mean", moments.kept, moments.restore)
    moments.add(torch.tensor([0.1, 0.7]))
    checkpoints.write(tmp_path / "checkpoint-1", remembering.kept(model), lambda folder: None)
    other, found = torch.nn.Linear(1, 1), Moments()
    remembering.remember(other, "the mean", found.kept, found.restore)
    remembering.restore(other, tmp_path / "checkpoint-1")
    assert found == moments
    remembering.remember(other, "something new", found.kept, found.restore)
    remembering.restore(other, tmp_path / "checkpoint-1")
    assert "checkpoint-1 does not hold something new, which begins anew" in caplog.text
