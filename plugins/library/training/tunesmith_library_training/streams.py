"""Batches of training data without length, of which a resumed run goes on where it was without reading what is before.

Such data have `share(number, count, state)`, an iterator over the examples of every `count`-th record, with its `state`
as JSON has it. Each worker of each process reads a share of its own. The batches of a process come from its shares in
turn, and each brings the state of its share along; those of the batches that were trained on stand in a checkpoint.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from tunesmith import TunesmithError, announce
from tunesmith.types import Batch

from tunesmith_library_training import processes

STATE = "stream"
"""The key of a batch under which a share and its state stand, and of what a checkpoint tells."""


class Share(Iterator[Mapping[str, Any]], Protocol):
    """Examples, and where they are."""

    @property
    def state(self) -> Any: ...


class Shared(Protocol):
    """Training data that are read in shares."""

    def share(self, number: int, count: int, state: Any = None) -> Share: ...


@dataclass
class Progress:
    """How far this process has come in a stream."""

    shares: Sequence[int]  # its own, in the order of their turns
    count: int  # of all processes
    turn: int = 0  # which of its shares the next batch is of
    states: dict[int, Any] = field(default_factory=dict)  # by share, of those that gave a batch

    @classmethod
    def begin(cls, workers: int) -> Progress:
        """At the beginning. All processes have as many workers."""
        own = max(workers, 1)
        first = processes.rank() * own
        return cls(range(first, first + own), processes.count() * own)

    @classmethod
    def resumed(cls, told: Mapping[str, Any]) -> Progress:
        """Where a checkpoint is.

        Args:
            told: what `gathered` gave. Another number of processes divides the shares anew, and takes them in another
                order.

        Raises: TunesmithError when there are more processes than shares.
        """
        count, ranks = int(told["count"]), processes.count()
        if ranks > count:
            raise TunesmithError(
                f"the stream of this run is read in {count} shares, and there are {ranks} processes.\n"
                f"  resume with at most {count}, or begin anew: output_dir=…"
            )
        shares = [share for share in range(count) if share * ranks // count == processes.rank()]
        turns = told["turns"]
        turn = turns[processes.rank()] if len(turns) == ranks else 0
        return cls(shares, count, turn, {int(share): state for share, state in told["states"].items()})

    def trained(self, batches: Sequence[Batch]) -> None:
        """Take the states out of batches that are trained on, and note them."""
        for batch in batches:
            share, state = batch.pop(STATE)
            self.states[share] = state
            self.turn = (self.shares.index(share) + 1) % len(self.shares)

    def gathered(self) -> dict[str, Any]:
        """Where all processes are, as JSON has it; all call it."""
        every = processes.gathered((self.turn, {share: self.states.get(share) for share in self.shares}))
        states = {str(share): state for _, own in every for share, state in own.items() if state is not None}
        return {"count": self.count, "turns": [turn for turn, _ in every], "states": states}

    def workers(self, asked: int) -> int:
        """How many workers can read this process's shares in turn, at most as many as are asked for; announced."""
        if asked <= 1:
            return asked
        number = max(number for number in range(1, asked + 1) if len(self.shares) % number == 0)
        if number != asked:
            shares = f"{len(self.shares)} shares of the stream, as when the run began"
            announce("trainer.dataloader_num_workers", number, f"{shares}; {asked} would change its order")
        return number


class Batches(IterableDataset[Batch]):
    """The batches of this process, or of one of its workers, from its progress on.

    Args:
        collate: makes a batch of examples.
    """

    def __init__(
        self, data: Shared, progress: Progress, batch_size: int, collate: Callable[[Sequence[Any]], Batch]
    ) -> None:
        self._data, self._batch_size, self._collate = data, batch_size, collate
        self._count, self._states = progress.count, dict(progress.states)
        self._order = [*progress.shares[progress.turn :], *progress.shares[: progress.turn]]

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        own = self._order[worker.id :: worker.num_workers] if worker else self._order
        readers = [(share, self._data.share(share, self._count, self._states.get(share))) for share in own]
        for share, examples in itertools.cycle(readers):
            chosen = list(itertools.islice(examples, self._batch_size))
            if not chosen:
                return
            yield {**self._collate(chosen), STATE: (share, examples.state)}


def loader(
    data: Shared,
    progress: Progress,
    collate: Callable[[Sequence[Any]], Batch],
    *,
    batch_size: int,
    workers: int,
    pin_memory: bool,
    context: str | None,
) -> DataLoader[Batch]:
    """Reads the batches behind a progress; it draws no random numbers, so that a resumed run draws as before.

    Args:
        collate: makes a batch of examples.
        workers: processes that read for this one, at most.
        context: how they are started.
    """
    workers = progress.workers(workers)
    return DataLoader(
        Batches(data, progress, batch_size, collate),
        batch_size=None,
        num_workers=workers,
        collate_fn=_same,
        pin_memory=pin_memory,
        generator=torch.Generator(),
        multiprocessing_context=context if workers else None,
    )


def _same(batch: Any) -> Any:
    return batch
