"""Batches of examples: the collator that data loaders call, and the batches of an evaluation."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info
from tunesmith.types import IGNORED, Batch
from tunesmith_library_training import on_host
from tunesmith_library_training.counts import COUNTS, counted
from tunesmith_library_training.repeats import FINGERPRINTS, fingerprints


class Collator:
    """The stage's `collate`, with `num_tokens`, `num_trained` and `num_predicted` (float): the tokens of the batch that
    are not padding, those of them that are learned, and those that something before them predicts (0 without labels);
    and `counts` by data set."""

    def __init__(self, collate: Callable[..., Batch], padding_free: bool) -> None:
        self.collate = collate
        self.padding_free = padding_free

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> Batch:
        leave_interrupts()
        batch = dict(self.collate(examples=examples, padding_free=self.padding_free))
        mask = batch.get("attention_mask")
        batch["num_tokens"] = float(batch["input_ids"].numel() if mask is None else mask.sum())
        labels = batch.get("labels")
        batch["num_trained"] = float(batch["num_items"] if labels is None else (labels != IGNORED).sum())
        batch["num_predicted"] = 0.0 if labels is None else batch["num_tokens"] - _sequences(batch)
        batch[COUNTS] = counted(examples)
        on_host.note(batch)
        return batch

    def uncounted(self, examples: Sequence[Mapping[str, Any]]) -> Batch:
        """A batch that is computed and counts nothing; its `examples` is None, which says so."""
        nothing = dict.fromkeys(("num_items", "num_tokens", "num_trained", "num_predicted"), 0.0)
        return {**self(examples), **nothing, COUNTS: {}, "examples": None}


def leave_interrupts() -> None:
    """In a worker of a data loader: Ctrl-C is for the training process, which ends its workers."""
    if get_worker_info() is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _sequences(batch: Batch) -> int:
    """The number of sequences of a batch, concatenated or padded."""
    bounds = batch.get("cu_seq_lens_q")
    return len(batch["input_ids"]) if bounds is None else len(bounds) - 1


class Numbered(Dataset[tuple[int, Mapping[str, Any]]]):
    """A data set whose examples come with their place in it, so that a batch can say what it is made of.

    The negative place `~place` gives the same example as `place`, for a batch that counts nothing.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[int, Mapping[str, Any]]:
        return int(index), self.dataset[_place(index)]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[int, Mapping[str, Any]]]:
        """Several at once, which is faster where the data set can do that."""
        several = getattr(self.dataset, "__getitems__", None)
        places = [_place(index) for index in indices]
        examples = several(places) if several and places else [self.dataset[place] for place in places]
        return list(zip(map(int, indices), examples, strict=True))


def _place(index: int) -> int:
    return ~index if index < 0 else index


class NumberedCollator:
    """Batches of `Numbered` examples, with their places as `examples` and their `fingerprints`, lists of int.

    Of no example the batch is empty. Of one whose place is negative `examples` is None: it counts nothing.
    """

    def __init__(self, collator: Collator) -> None:
        self.collator = collator

    def __call__(self, numbered: Sequence[tuple[int, Mapping[str, Any]]]) -> Batch:
        if not numbered:
            return Batch()
        places, examples = zip(*numbered, strict=True)
        if places[0] < 0:
            return self.collator.uncounted(examples)
        return {**self.collator(examples), "examples": list(places), FINGERPRINTS: fingerprints(examples)}


def worker_context(num_workers: int) -> str | None:
    """How to start a data loader's workers: forked where it can be, since hooks do not pickle."""
    return "fork" if num_workers and "fork" in multiprocessing.get_all_start_methods() else None


def evaluation_batches(
    dataset: Any, collator: Collator, *, batch_size: int, share: int, shares: int, num_workers: int, pin: bool
) -> Iterator[tuple[Batch, bool]]:
    """One share of a data set, each example once over all shares.

    Every process gets the same number of batches, as sharded models demand; what was repeated for that comes with
    False. It draws no random numbers, so that an evaluation does not change the training.
    """
    count = len(dataset)
    every = [list(range(start, min(start + batch_size, count))) for start in range(0, count, batch_size)]
    mine = every[share::shares]
    repeated = -(-len(every) // shares) - len(mine)
    loader = DataLoader(
        dataset,
        batch_sampler=mine + every[:1] * repeated,
        collate_fn=collator,
        num_workers=num_workers,
        pin_memory=pin,
        generator=torch.Generator(),
        multiprocessing_context=worker_context(num_workers),
    )
    for number, batch in enumerate(loader):
        yield batch, number < len(mine)
