"""The micro-batches of an optimizer step run as few larger batches: the same examples and sums, in larger products.

The data loader hands over the examples of one micro-batch at a time, in its order, and not yet made a batch; they are
made batches once those of a whole step are there. So samplers, processes, epochs and resumed runs know nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from accelerate.utils import send_to_device
from tunesmith import announce
from tunesmith.types import Batch
from tunesmith_library_training import processes
from tunesmith_library_training.lengths import tokens_of

from tunesmith_trainer_transformers.batches import leave_interrupts

HELD = "held"
"""The key under which the examples of a micro-batch come through the data loader."""


class Held:
    """The examples of a micro-batch. No sequence, or data loaders would look for tensors in each of its numbers."""

    def __init__(self, examples: Sequence[Any]) -> None:
        self.examples = list(examples)
        self.tokens = sum(tokens_of(example[1] if isinstance(example, tuple) else example) for example in examples)
        self.counts = any(not isinstance(example, tuple) or example[0] >= 0 for example in examples)


class Merging:
    """Makes the batches of a step, and counts them.

    Args:
        collate: makes a batch of examples, with their places where the data set tells them.
        budget: tokens of a merged batch, at most; a micro-batch that has more stays whole.
        device: that is trained on; a GPU fetches the batches while the host goes on.
    """

    def __init__(self, collate: Callable[[Sequence[Any]], Batch], budget: int, device: torch.device) -> None:
        self._collate, self.budget, self._device = collate, budget, device  # the budget may become less
        self._asked = self._alone = self._run = 0

    def hold(self, examples: Sequence[Any]) -> Batch:
        """What the data loader makes of a micro-batch, in place of a batch."""
        leave_interrupts()
        return {HELD: Held(examples)} if examples else Batch()

    def batches(self, micro_batches: Sequence[Batch]) -> Iterator[Batch]:
        """The batches of a step, from all that `hold` gave for it. Raises: DataError as the stage's `collate`."""
        held = counted(micro_batches)
        for group in self._groups(held):
            batch = self._collate([example for number in group for example in held[number].examples])
            if self._device.type == "cuda":
                batch = send_to_device(pinned(batch), self._device, non_blocking=True)
            yield batch

    def trained(self, micro_batches: Sequence[Batch]) -> None:
        """Count those of a step that is made."""
        held = counted(micro_batches)
        found = self._groups(held)
        self._asked += len(held)
        self._alone += sum(len(group) == 1 for group in found) if len(held) > 1 else 0
        self._run += len(found)

    def _groups(self, held: Sequence[Held]) -> list[range]:
        return groups([examples.tokens for examples in held], self.budget)

    def tell(self, group: Any = None) -> None:
        """Say how many micro-batches could not be merged, if any. All processes call it."""
        asked, alone, run = map(int, processes.summed([self._asked, self._alone, self._run], group))
        if alone:
            why = f"{alone:,} had no room beside a neighbour in {self.budget:,} tokens; {run:,} batches were run"
            announce("micro-batches", f"{asked - alone:,} of {asked:,} merged", why)


def counted(micro_batches: Sequence[Batch]) -> list[Held]:
    """The examples of those that count something; of one that counts nothing where there is no other."""
    held = [batch[HELD] for batch in micro_batches if batch]
    return [examples for examples in held if examples.counts] or held[:1]


def groups(sizes: Sequence[int], budget: int) -> list[range]:
    """The places of neighbours, as many at a time as have together at most `budget` tokens; a larger one is alone."""
    found, start, total = [], 0, 0
    for place, size in enumerate(sizes):
        if place > start and total + size > budget:
            found.append(range(start, place))
            start, total = place, 0
        total += size
    return [*found, range(start, len(sizes))] if sizes else []


def pinned(value: Any) -> Any:
    """The tensors of a batch, and of mappings in it, in memory that a GPU reads by itself."""
    if isinstance(value, Mapping):
        return {name: pinned(each) for name, each in value.items()}
    return value.pin_memory() if isinstance(value, torch.Tensor) else value
