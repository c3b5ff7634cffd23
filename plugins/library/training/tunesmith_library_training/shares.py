"""Which examples each process computes of each optimizer step, so that any number of processes makes the same steps.

A step is the next examples of the epoch's order, as many whatever the number of processes. They are divided into shares
of about as many tokens, and a share into micro-batches, the same number of them in each share: processes that spread a
model wait for each other in every one. Where a share has none left, one that counts nothing takes their place.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from torch.utils.data import Sampler

ORDER = "order"
"""The key under which a checkpoint tells what `Order.told` gives."""


@dataclass(frozen=True)
class StepSize:
    """How many examples an optimizer step has, and how they are cut."""

    batch: int  # examples of a step, of all processes
    micro_batch: int  # examples of a forward pass, at most
    shares: int = 1  # into which a step is divided

    @property
    def accumulation(self) -> int:
        """Forward passes of a whole step, in each share."""
        return self.passes(self.batch)

    def passes(self, count: int) -> int:
        """Forward passes for so many examples, in each share."""
        return -(-count // (self.micro_batch * self.shares))


def divided(sizes: Sequence[int], parts: int, most: int) -> list[list[int]]:
    """The places of `sizes` in parts of about the same sum, each in ascending order.

    The largest first, each to the part that has least so far (Graham 1969): no part has more than the mean and the size
    that came to it last, as long as there is room.

    Args:
        most: places of a part, at most.

    Raises: ValueError when there is not so much room.
    """
    if len(sizes) > parts * most:
        raise ValueError(f"{len(sizes)} examples do not go into {parts} parts of {most}")
    found: list[list[int]] = [[] for _ in range(parts)]
    least = [(0, part) for part in range(parts)]
    for place in sorted(range(len(sizes)), key=lambda place: -sizes[place]):
        total, part = heapq.heappop(least)
        found[part].append(place)
        if len(found[part]) < most:
            heapq.heappush(least, (total + sizes[place], part))
    return [sorted(part) for part in found]


def micro_batches(sizes: Sequence[int], size: StepSize, share: int) -> list[list[int]]:
    """The places, in a step, of the examples of each forward pass of a share, in the order of the step.

    Args:
        sizes: tokens of the step's examples; at least one.

    Returns: as many for each share. For one that has nothing left, the place of the step's shortest example as
        `~place`: it is computed without being counted.
    """
    count = size.passes(len(sizes))
    if size.shares == 1:
        ends = range(size.micro_batch, len(sizes) + size.micro_batch, size.micro_batch)
        return [list(range(end - size.micro_batch, min(end, len(sizes)))) for end in ends]
    mine = divided(sizes, size.shares, count * size.micro_batch)[share]
    passes = divided([sizes[place] for place in mine], count, size.micro_batch)
    found = [[mine[place] for place in places] for places in passes]
    found.sort(key=lambda places: -sum(sizes[place] for place in places))  # the long ones of all shares at one time
    shortest = min(range(len(sizes)), key=lambda place: sizes[place])
    return [places or [~shortest] for places in found]


class Order(Sampler[list[int]]):
    """The micro-batches of one share, epoch after epoch; a data loader's `batch_sampler`.

    Each step has `size.accumulation` of them but for the last one of an epoch, which has what is left. They are places
    of examples; a negative one, `~place`, is of an example that is computed and counts nothing.

    Args:
        count: examples of an epoch, at least one.
        share: of this process.
        order: of the examples in an epoch, which is counted from 0.
        sizes: tokens of each example of the epoch that has begun; None where they are not known.
    """

    def __init__(
        self,
        count: int,
        size: StepSize,
        share: int,
        order: Callable[[int], Sequence[int]],
        sizes: Callable[[], Sequence[int] | None] = lambda: None,
    ) -> None:
        self.count, self.size, self.share = count, size, share
        self._order, self._sizes = order, sizes
        self.epoch = 0
        self.shift = 0  # how many steps more there would have been, had they always been of this size
        self.facts: dict[str, int] = {}  # that a checkpoint tells too
        self._begun = (0, 0)  # the epoch, and how many of its examples are behind

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return -(-self.count // self.size.batch)

    def __len__(self) -> int:
        last = self.count - (self.steps - 1) * self.size.batch
        return (self.steps - 1) * self.size.accumulation + self.size.passes(last)

    def go_on(self, step: int, epoch: int, examples: int) -> None:
        """Begin after a step, in an epoch behind so many of its examples.

        Steps end where they do in a whole epoch: after steps of another size the first one may have fewer examples.
        """
        self._begun = (epoch, examples)
        self.shift = epoch * self.steps + examples // self.size.batch - step

    def told(self, step: int) -> dict[str, int]:
        """Where a run is after a step, as JSON has it."""
        epoch, within = divmod(step + self.shift, self.steps)
        epoch, examples = max((epoch, within * self.size.batch), self._begun)
        return {**self.facts, "epoch": epoch, "examples": examples, "batch": self.size.batch}

    def epochs(self, step: int) -> float:
        """How many epochs a run has behind it after a step."""
        told = self.told(step)
        return told["epoch"] + told["examples"] / self.count

    def __iter__(self) -> Iterator[list[int]]:
        order = self._order(self.epoch)
        sizes = self._sizes() if self.size.shares > 1 else None
        begun, behind = self._begun
        passed = behind if self.epoch == begun else 0
        for start in range(0, self.count, self.size.batch):
            end = min(start + self.size.batch, self.count)
            places = order[max(start, passed) : end]
            tokens = [1 if sizes is None else int(sizes[place]) for place in places]
            found = micro_batches(tokens, self.size, self.share) if places else []
            yield from ([] for _ in range(self.size.passes(end - start) - len(found)))
            yield from ([places[at] if at >= 0 else ~places[~at] for at in batch] for batch in found)
