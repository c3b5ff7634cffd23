"""Batches of a stream: its shares in turn, and the same ones when it is gone on with, by as many workers or others."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tunesmith import TunesmithError
from tunesmith_library_training import processes
from tunesmith_library_training.reporting import progress_of
from tunesmith_library_training.streams import Progress, loader


class Share(Iterator[dict[str, int]]):
    def __init__(self, number: int, count: int, state: Any) -> None:
        self.state = state or [number, 0]
        self.count = count

    def __next__(self) -> dict[str, int]:
        number, passed = self.state
        self.state = [number, passed + 1]
        return {"row": number + passed * self.count}


class Rows:
    """The numbers from 0 on."""

    def share(self, number: int, count: int, state: Any = None) -> Share:
        return Share(number, count, state)


def collate(examples: Sequence[dict[str, int]]) -> dict[str, Any]:
    return {"rows": [example["row"] for example in examples]}


def read(progress: Progress, workers: int, number: int, size: int = 2) -> list[list[int]]:
    """The next batches, each of which is trained on."""
    batches = loader(
        Rows(),
        progress,
        collate,
        batch_size=size,
        workers=workers,
        pin_memory=False,
        context="fork" if workers else None,
    )
    found = []
    for batch in itertools.islice(batches, number):
        progress.trained([batch])
        found.append(batch["rows"])
    return found


@pytest.fixture
def ranks(monkeypatch: pytest.MonkeyPatch) -> Any:
    def become(rank: int, count: int) -> None:
        monkeypatch.setattr(processes, "rank", lambda: rank)
        monkeypatch.setattr(processes, "count", lambda: count)

    return become


def stored(*every: Progress) -> dict[str, Any]:
    """What a checkpoint of several processes tells."""
    parts = [(one.turn, {share: one.states.get(share) for share in one.shares}) for one in every]
    original = processes.gathered
    try:
        processes.gathered = lambda item, group=None: parts
        return dict(json.loads(json.dumps(every[0].gathered())))
    finally:
        processes.gathered = original


@pytest.mark.parametrize(("began", "resumed"), [(0, 2), (1, 0), (2, 2), (2, 0)])
def test_going_on(began: int, resumed: int) -> None:
    """With however many workers: what workers have read ahead comes again, and the turns go on."""
    whole = read(Progress.begin(began), began, 12)
    assert sorted(itertools.chain(*whole)) == list(range(24))
    for stop in (0, 5):
        first = Progress.begin(began)
        assert read(first, began, stop) == whole[:stop]
        assert read(Progress.resumed(stored(first)), resumed, 5) == whole[stop : stop + 5], stop


def test_how_many_workers_read() -> None:
    """As many as can take the shares in turn."""
    progress = Progress(range(6), 6)
    assert [progress.workers(asked) for asked in range(8)] == [0, 1, 2, 3, 3, 3, 6, 6]


def test_processes_have_shares_of_their_own(ranks: Any) -> None:
    every, batches = [], []
    for rank in range(2):
        ranks(rank, 2)
        progress = Progress.begin(2)
        assert list(progress.shares) == [2 * rank, 2 * rank + 1] and progress.count == 4
        batches.append(read(progress, 0, 5))
        every.append(progress)
    rows = sorted(itertools.chain(*itertools.chain(*batches)))
    assert len(set(rows)) == 20
    told = stored(*every)
    for rank in range(2):
        ranks(rank, 2)
        again = Progress.begin(2)
        assert read(Progress.resumed(told), 2, 4) == read(again, 0, 9)[5:]


def test_another_number_of_processes(ranks: Any) -> None:
    """No row is lost, and none comes twice."""
    every = []
    for rank in range(2):
        ranks(rank, 2)
        progress = Progress.begin(2)
        every.append((progress, read(progress, 0, 4)))
    before = [row for _, batches in every for row in itertools.chain(*batches)]
    told = stored(*(progress for progress, _ in every))
    for count in (1, 3, 4):
        shares: list[int] = []
        after: list[int] = []
        for rank in range(count):
            ranks(rank, count)
            progress = Progress.resumed(told)
            shares += progress.shares
            after += itertools.chain(*read(progress, 0, 4 * len(progress.shares), size=1))
        assert shares == [0, 1, 2, 3]
        assert sorted(before + after) == list(range(32))
    ranks(0, 5)
    with pytest.raises(TunesmithError, match="read in 4 shares, and there are 5 processes"):
        Progress.resumed(told)


def test_a_checkpoint_that_does_not_say(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of an earlier version: the loop reads on to there, and that is said. Other data have no progress."""
    run: Any = SimpleNamespace(resumed=None, job=SimpleNamespace(data=SimpleNamespace(train=Rows())))
    assert list(progress_of(run, 3).shares) == [0, 1, 2]  # type: ignore[union-attr]
    run.resumed = tmp_path / "checkpoint-3"
    assert progress_of(run, 3) is None and "checkpoint-3 does not say where it was in the stream" in caplog.text
    run.job.data.train = [1, 2]
    caplog.clear()
    assert progress_of(run, 3) is None and not caplog.records
