"""Batches of training data without length, of which a resumed run goes on where it was without reading what is before.

Such data have `share(number, count, state)`, an iterator over the examples of every `count`-th record, with its `state`
as JSON has it. The shares are those of the workers of all processes when the run began, and give pieces of a batch size
in turn: an optimizer step is the next so many pieces. Each process takes some of them, or of each a part, so that any
number of processes makes the same steps. Each batch brings the state of its share along; those of the batches that were
trained on stand in a checkpoint.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from tunesmith import announce
from tunesmith.types import Batch

from tunesmith_library_training import processes

STATE = "stream"
"""The key of a batch under which a piece, its share and its state stand, and of what a checkpoint tells."""

Collate = Callable[[Sequence[Any]], Batch]


class Share(Iterator[Mapping[str, Any]], Protocol):
    """Examples, and where they are."""

    @property
    def state(self) -> Any: ...


class Shared(Protocol):
    """Training data that are read in shares."""

    def share(self, number: int, count: int, state: Any = None) -> Share: ...


@dataclass
class Progress:
    """How far a run has come in a stream, and what this process takes of it."""

    order: Sequence[int]  # the shares of the stream, in the order of their turns
    piece: int  # examples of a piece
    step: int  # pieces of an optimizer step, of all processes
    most: int  # examples of a forward pass
    begun: int = 0  # pieces that are behind, since the first step
    facts: dict[str, int] = field(default_factory=dict)  # that a checkpoint tells too
    states: dict[int, tuple[int, Any]] = field(default_factory=dict)  # by share, of the last piece of it: which it was

    @classmethod
    def begin(cls, workers: int, most: int = 1, accumulation: int = 1) -> Progress:
        """At the beginning. All processes have as many workers.

        Args:
            most: examples of a forward pass.
            accumulation: forward passes of a step, in each process.
        """
        own, count = max(workers, 1), processes.shares()
        order = [turn % count * own + turn // count for turn in range(count * own)]
        return cls(order, most, count * accumulation, most)

    @classmethod
    def resumed(cls, told: Mapping[str, Any], most: int = 1, accumulation: int = 1) -> Progress:
        """Where a checkpoint is.

        Args:
            told: what `gathered` gave, of this version or an earlier one, which read one piece for each forward pass.
            most: examples of a forward pass.
            accumulation: forward passes of a step in each process, where the checkpoint does not say it.
        """
        if "turns" in told:
            count, own = len(told["turns"]), told["count"] // len(told["turns"])
            order = [turn % count * own + turn // count for turn in range(told["count"])]
            states = {int(share): (-1, state) for share, state in told["states"].items()}
            return cls(order, most, count * accumulation, most, told["turns"][0] * count, states=states)
        states = {int(share): (int(last), state) for share, (last, state) in told["states"].items()}
        return cls(told["order"], told["piece"], told["step"], most, told["taken"], states=states)

    @property
    def whole(self) -> bool:
        """Whether this process takes whole pieces, and not a part of each."""
        return self.step % processes.shares() == 0 and self.piece <= self.most

    @property
    def accumulation(self) -> int:
        """Forward passes of a step, in each process."""
        count = processes.shares()
        return self.step // count if self.whole else self.step * math.ceil(math.ceil(self.piece / count) / self.most)

    def trained(self, batches: Sequence[Batch]) -> None:
        """Take the states out of batches that are trained on, and note them."""
        for batch in batches:
            number, share, state = batch.pop(STATE)
            self.states[share] = (number, state)

    def gathered(self) -> dict[str, Any]:
        """Where all processes are, as JSON has it; all call it."""
        states: dict[int, tuple[int, Any]] = {}
        for own in processes.gathered(self.states):
            for share, (number, state) in own.items():
                if share not in states or number > states[share][0]:
                    states[share] = (number, state)
        taken = max([self.begun, *(number + 1 for number, _ in states.values())])
        known = {str(share): list(last) for share, last in states.items()}
        made = {"order": list(self.order), "piece": self.piece, "step": self.step}
        return {**self.facts, **made, "taken": taken, "states": known}

    def mine(self, examples: Sequence[Any], number: int) -> list[Sequence[Any]]:
        """What this process computes of a piece, forward pass by forward pass; an empty one where it has no part."""
        count, own = processes.shares(), processes.share()
        if self.whole:
            return [examples] if number % count == own else []
        part, passes = examples[own::count], math.ceil(math.ceil(self.piece / count) / self.most)
        return [part[number * self.most :][: self.most] for number in range(passes)]

    def workers(self, asked: int) -> int:
        """How many workers can read this process's shares, each of them its own; as many as asked for at most."""
        if asked <= 1:
            return asked
        turns = len(self.order) // math.gcd(len(self.order), processes.shares()) if self.whole else 1
        number = max(number for number in range(1, asked + 1) if turns % number == 0)
        if number != asked:
            shares = f"{turns} {'shares' if turns > 1 else 'share'} of the stream are read in turn by each process"
            announce("trainer.dataloader_num_workers", number, f"{shares}; {asked} would read some of them twice")
        return number


class Batches(IterableDataset[Batch]):
    """The batches of this process, or of one of its workers, from its progress on.

    Args:
        collate: makes a batch of examples.
        uncounted: makes one of an example that is computed and counts nothing.
    """

    def __init__(self, data: Shared, progress: Progress, collate: Collate, uncounted: Collate) -> None:
        self._data, self._progress = data, progress
        self._collate, self._uncounted = collate, uncounted
        self._states = {share: state for share, (_, state) in progress.states.items()}

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        first, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        turns = itertools.cycle(range(workers))
        progress, count = self._progress, len(self._progress.order)
        readers: dict[int, _Reader] = {}
        for number in itertools.count(progress.begun):
            share = progress.order[number % count]
            given = range(progress.piece)  # stands for the examples until it is known that they are needed
            passes = [(part, next(turns) == first) for part in progress.mine(given, number)]
            if not any(own for _, own in passes):
                continue
            if share not in readers:
                readers[share] = _Reader(self._data.share(share, count, self._states.get(share)), progress, share)
            examples, state = readers[share].piece(number)
            if not examples:
                return
            for part, own in passes:
                chosen = [examples[place] for place in part if place < len(examples)]
                if own:
                    batch = self._collate(chosen) if chosen else self._uncounted(examples[:1])
                    yield {**batch, STATE: (number, share, state)}


class _Reader:
    """Gives pieces of a share, and passes over those that others take."""

    def __init__(self, examples: Share, progress: Progress, share: int) -> None:
        self._examples, self._piece, self._count = examples, progress.piece, len(progress.order)
        place = progress.order.index(share)
        self._next = progress.begun + (place - progress.begun) % self._count  # the first piece of the share

    def piece(self, number: int) -> tuple[list[Any], Any]:
        """The examples of a piece, and the share's state behind them."""
        passed = (number - self._next) // self._count * self._piece
        next(itertools.islice(self._examples, passed, passed), None)
        self._next = number + self._count
        return list(itertools.islice(self._examples, self._piece)), self._examples.state


def loader(
    data: Shared,
    progress: Progress,
    collate: Collate,
    uncounted: Collate,
    *,
    workers: int,
    pin_memory: bool,
    context: str | None,
) -> DataLoader[Batch]:
    """Reads the batches behind a progress; it draws no random numbers, so that a resumed run draws as before.

    Args:
        collate: makes a batch of examples.
        uncounted: makes one that counts nothing.
        workers: processes that read for this one, at most.
        context: how they are started.
    """
    workers = progress.workers(workers)
    return DataLoader(
        Batches(data, progress, collate, uncounted),
        batch_size=None,
        num_workers=workers,
        collate_fn=_same,
        pin_memory=pin_memory,
        generator=torch.Generator(),
        multiprocessing_context=context if workers else None,
    )


def _same(batch: Any) -> Any:
    return batch
