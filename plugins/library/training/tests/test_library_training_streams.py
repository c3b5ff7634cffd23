"""Batches of a stream: its shares in turn, and the same steps when it is gone on with by others, or others of them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from tunesmith_library_training import processes
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


def uncounted(examples: Sequence[dict[str, int]]) -> dict[str, Any]:
    return {"rows": []}


def read(progress: Progress, workers: int, number: int) -> list[list[int]]:
    """The next batches, each of which is trained on."""
    context = "fork" if workers else None
    batches = loader(Rows(), progress, collate, uncounted, workers=workers, pin_memory=False, context=context)
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
    original = processes.gathered
    try:
        processes.gathered = lambda item, group=None: [progress.states for progress in every]
        return dict(json.loads(json.dumps(every[0].gathered())))
    finally:
        processes.gathered = original


@pytest.mark.parametrize(("began", "resumed"), [(0, 2), (1, 0), (2, 2), (2, 0)])
def test_going_on(began: int, resumed: int) -> None:
    """With however many workers: what workers have read ahead comes again, and the turns go on."""
    whole = read(Progress.begin(began, 2), began, 12)
    assert sorted(itertools.chain(*whole)) == list(range(24))
    for stop in (0, 5):
        first = Progress.begin(began, 2)
        assert read(first, began, stop) == whole[:stop]
        assert read(Progress.resumed(stored(first), 2), resumed, 5) == whole[stop : stop + 5], stop


def test_how_many_workers_read(ranks: Any) -> None:
    """As many as can take the shares in turn, each of them its own."""
    progress = Progress(range(6), 1, 6, 1)
    assert [progress.workers(asked) for asked in range(8)] == [0, 1, 2, 3, 3, 3, 6, 6]
    ranks(0, 2)
    assert [progress.workers(asked) for asked in range(5)] == [0, 1, 1, 3, 3]
    ranks(0, 4)
    assert progress.workers(2) == 1, "each takes a part of every piece"


def test_processes_have_shares_of_their_own(ranks: Any) -> None:
    """Two processes with two workers each: as one worker of each would read them, and on when resumed."""
    every, batches = [], []
    for rank in range(2):
        ranks(rank, 2)
        progress = Progress.begin(2, 2)
        batches.append(read(progress, 2, 5))
        assert batches[-1] == read(Progress.begin(2, 2), 0, 5)
        assert set(progress.states) == {2 * rank, 2 * rank + 1}
        every.append(progress)
    assert len(set(itertools.chain(*itertools.chain(*batches)))) == 20
    told = stored(*every)
    for rank in range(2):
        ranks(rank, 2)
        assert read(Progress.resumed(told, 2), 2, 4) == read(Progress.begin(2, 2), 0, 9)[5:]


def steps_of(make: Any, count: int, ranks: Any, number: int) -> tuple[list[list[int]], dict[str, Any]]:
    """The rows of the next steps of so many processes, and what a checkpoint tells then."""
    every, found = [], [list[int]() for _ in range(number)]
    for rank in range(count):
        ranks(rank, count)
        progress = make()
        passes = progress.accumulation
        batches = read(progress, 0, number * passes)
        assert len(batches) == number * passes and all(len(rows) <= progress.most for rows in batches)
        for step in range(number):
            found[step] += itertools.chain(*batches[step * passes : (step + 1) * passes])
        every.append(progress)
    return [sorted(rows) for rows in found], stored(*every)


@pytest.mark.parametrize(("workers", "began"), [(0, 1), (2, 2), (2, 1)])
def test_another_number_of_processes_makes_the_same_steps(workers: int, began: int, ranks: Any) -> None:
    """Three steps, then three of more or fewer processes, of larger or smaller batches; then three of two again."""
    whole, _ = steps_of(lambda: Progress.begin(workers, 4 // began), began, ranks, 9)
    assert sorted(itertools.chain(*whole)) == sorted(set(itertools.chain(*whole)))
    before, told = steps_of(lambda: Progress.begin(workers, 4 // began), began, ranks, 3)
    assert before == whole[:3]
    for count in (1, 2, 3, 4, 5):
        for most in (1, 2, 8):
            then, later = steps_of(lambda most=most: Progress.resumed(told, most), count, ranks, 3)
            assert then == whole[3:6], (count, most)
            assert steps_of(lambda later=later: Progress.resumed(later, 2), 2, ranks, 3)[0] == whole[6:]


def test_the_state_of_an_earlier_version(ranks: Any) -> None:
    """It told the turn of each process, and the states of its shares: two workers in each of two, after three steps."""
    told = {"count": 4, "turns": [1, 1], "states": {"0": [0, 4], "1": [1, 2], "2": [2, 4], "3": [3, 2]}}
    for rank in range(2):
        ranks(rank, 2)
        assert read(Progress.resumed(told, 2), 0, 3) == read(Progress.begin(2, 2), 0, 6)[3:]
