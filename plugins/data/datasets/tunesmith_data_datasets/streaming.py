"""Training data that is read and encoded while it is trained on, again and again, with little of it in memory.

Nothing is written to a cache. The order depends on the seed alone. A share of a stream says after each example where it
is; from there it goes on exactly, and encodes again only what it holds back to be shuffled, not what is before that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch.utils.data import IterableDataset, get_worker_info
from tunesmith import DataError

from .encoded_lanes import EncodedLane, EncodedWork
from .encoding import Work
from .lanes import Batch, Example, Lane, Place
from .shuffling import Draws

_MOST_STEPS = 64  # places that a state tells of a lane


class Stream(IterableDataset[Example]):
    """Encoded examples without end.

    Args:
        works: the data sets.
        weights: by which the next example's set is drawn, each set beginning again when it is used up; None reads one
            set behind the other.
        buffer_size: examples that are held back, of which the next one is drawn.
        seed: of both draws.
    """

    def __init__(self, works: Sequence[Work], weights: Sequence[float] | None, buffer_size: int, seed: int) -> None:
        self.works, self.weights, self.buffer_size, self.seed = works, weights, buffer_size, seed

    def __iter__(self) -> Iterator[Example]:
        """The examples of this data loader's worker; each of several workers encodes its share of the records."""
        worker = get_worker_info()
        return self.share(worker.id, worker.num_workers) if worker else self.share(0, 1)

    def share(self, number: int, count: int, state: Mapping[str, Any] | None = None) -> Share:
        """The examples of every `count`-th record, from `number` on.

        Args:
            state: of the same share, behind whose last example this one goes on.
        """
        return Share(self, number, count, state)


class Share(Iterator[Example]):
    """Examples without end, see `Stream.share`. While it is read: DataError that names file and line."""

    def __init__(self, stream: Stream, number: int, count: int, state: Mapping[str, Any] | None) -> None:
        named = len({work.source.name for work in stream.works}) > 1
        sets = [stream.works] if stream.weights is None else [[work] for work in stream.works]
        self._draws = Draws((stream.seed, number), stream.buffer_size, stream.weights or [1.0])
        told = state["lanes"] if state else [{}] * len(sets)
        self._readers = [
            Reader(_lane(works, number, count, named), lane) for works, lane in zip(sets, told, strict=True)
        ]
        self._given: int = state["given"] if state else 0
        self._buffer: list[Example] = []
        self._lanes = self._numbers = np.empty(0, np.int64)  # by place in the buffer: where the example is from

    @property
    def state(self) -> dict[str, Any]:
        """Where it is, as JSON has it: behind the example that was given last."""
        return {"given": self._given, "lanes": [reader.state for reader in self._readers]}

    def __next__(self) -> Example:
        if not self._buffer:
            self._fill()
        slot = self._draws.slot(self._given)
        example = self._buffer[slot]
        self._take(slot)
        self._given += 1
        return example

    def _fill(self) -> None:
        """Hold the first examples back; of a share that goes on, those that it held."""
        size = self._draws.size
        if not self._given:
            self._buffer = [{}] * size
            self._lanes, self._numbers = np.full(size, -1, np.int64), np.zeros(size, np.int64)
            try:
                for slot in range(size):
                    self._take(slot, slot)
            except BaseException:
                self._buffer = []
                raise
            return
        self._lanes, self._numbers = self._draws.held(self._given, [reader.taken for reader in self._readers])
        held = {}
        for lane, reader in enumerate(self._readers):
            wanted = self._numbers[self._lanes == lane]
            held.update({(lane, number): example for number, example in reader.go_on(wanted).items()})
        self._buffer = [held[place] for place in zip(self._lanes.tolist(), self._numbers.tolist(), strict=True)]

    def _take(self, slot: int, number: int | None = None) -> None:
        """Put the next example into a place of the buffer."""
        lane = self._draws.lane(self._given + self._draws.size if number is None else number)
        reader = self._readers[lane]
        if not reader.has_one:
            held = self._numbers[self._lanes == lane]
            reader.read(oldest=int(held.min()) if held.size else reader.taken)
        self._lanes[slot], self._numbers[slot] = lane, reader.taken
        self._buffer[slot] = reader.take()


class Reader:
    """Takes examples from a lane, and knows from where it would have to read to have those again that are held back.

    Args:
        state: of such a one, to go on from: `go_on` is called first then. Empty to begin.
    """

    def __init__(self, lane: Lane, state: Mapping[str, Any]) -> None:
        self._lane = lane
        self.taken: int = state.get("taken", 0)  # examples
        # the number of the first example, the place, and how many batches are read from there to the next step
        self._steps: list[tuple[int, Place, int]] = [
            (first, Place.from_json(place), batches) for first, place, batches in state.get("steps", ())
        ]
        self._batches = lane.batches()
        self._made = -1  # the last pass that had an example
        self._waiting: list[Example] = []  # of the batch that was read last, the next one at the end

    @property
    def state(self) -> dict[str, Any]:
        """Where it is, as JSON has it."""
        return {"taken": self.taken, "steps": [[first, place.to_json(), count] for first, place, count in self._steps]}

    @property
    def has_one(self) -> bool:
        return bool(self._waiting)

    def take(self) -> Example:
        """The next example of those that were read."""
        self.taken += 1
        return self._waiting.pop()

    def read(self, oldest: int) -> None:
        """Read on until there is an example.

        Args:
            oldest: the number of the first one that is held back.
        """
        while not self._waiting:
            batch = next(self._batches)
            if batch.place.lap > self._made + 1:
                raise self._lane.nothing()
            self._waiting = self._lane.encode(batch)[::-1]
            self._made = batch.place.lap if self._waiting else self._made
            self._steps.append((self.taken, batch.place, 1))
        past = sum(following[0] <= oldest for following in self._steps[1:])
        self._steps = self._steps[min(past, len(self._steps) - 1) :]
        if len(self._steps) > _MOST_STEPS:
            self._steps = [_joined(self._steps[at : at + 2]) for at in range(0, len(self._steps), 2)]

    def go_on(self, wanted: np.ndarray) -> dict[int, Example]:
        """Begin where the state says, and give the examples of the wanted numbers, which are held back.

        Raises: DataError when other examples are there.
        """
        found: dict[int, Example] = {}
        if not self._steps:
            return found
        self._batches = self._lane.batches(self._steps[0][1])
        ends = [first for first, _, _ in self._steps[1:]] + [None]
        for (first, place, count), end in zip(self._steps, ends, strict=True):
            batches: list[Batch] = [next(self._batches) for _ in range(count)]
            own = wanted[(wanted >= first) & ((wanted < end) if end is not None else True)].tolist()
            if not own and end is not None:
                continue
            examples = [example for batch in batches for example in self._lane.encode(batch)]
            if (len(examples) != end - first) if end is not None else (first + len(examples) < self.taken):
                raise self._changed(place)
            found.update({number: examples[number - first] for number in own})
            self._made = batches[-1].place.lap
            self._waiting = [] if end is not None else examples[self.taken - first :][::-1]
        return found

    def _changed(self, place: Place) -> DataError:
        work = self._lane.works[place.work]
        return DataError(
            f"{work.source.key}: {work.files[place.file]} has other examples than when it was streamed before\n"
            "  a run is resumed with the data that it began with; train on from its weights: model.path=CHECKPOINT"
        )


def _lane(works: Sequence[Work], number: int, count: int, named: bool) -> Lane:
    """What reads data sets, which are all encoded before or all are not."""
    if isinstance(works[0], EncodedWork):
        return EncodedLane(works, number, count, named)
    return Lane(works, number, count, named)


def _joined(steps: Sequence[tuple[int, Place, int]]) -> tuple[int, Place, int]:
    """Following steps as one."""
    return steps[0][0], steps[0][1], sum(count for _, _, count in steps)
