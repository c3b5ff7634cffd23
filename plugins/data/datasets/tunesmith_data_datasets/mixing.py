"""Holding examples back for evaluation, and mixing training sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tunesmith import DataError, announce
from tunesmith.messages import logger

from .drawing import Mixture, Part, drawn
from .entries import Entry

if TYPE_CHECKING:
    import datasets

    from . import Datasets


def with_names(sets: Sequence[datasets.Dataset], names: Sequence[str]) -> list[datasets.Dataset]:
    """Add a column `dataset` with its name to each set, unless all have one name: the loss of each is logged by it.

    Sets of the same name are one to it. A column that the stage made stays.
    """
    import datasets
    import pyarrow

    if len(set(names)) < 2 or any("dataset" in examples.column_names for examples in sets):
        return list(sets)
    named = []
    for examples, name in zip(sets, names, strict=True):
        column = pyarrow.table({"dataset": pyarrow.repeat(name, len(examples))})  # add_column reads a list: 30 × slower
        named.append(datasets.concatenate_datasets([examples, datasets.Dataset(column)], axis=1))
    return named


def hold_out(
    sets: Sequence[datasets.Dataset], val_size: float, seed: int
) -> tuple[list[datasets.Dataset], datasets.Dataset]:
    """Split every set, before they are mixed: an example that a mix repeats is never on both sides.

    Args:
        sets: the training sets.
        val_size: below 1 the share of each set, else how many examples altogether, taken in proportion to the sizes.
        seed: of the choice.

    Returns: what is left of each set, and what is held out of all.
    Raises: DataError when nothing would be left of a set, or nothing held out.
    """
    import datasets
    import numpy as np

    sizes = [len(examples) for examples in sets]
    counts = _shares(sizes, round(val_size * sum(sizes)) if val_size < 1 else int(val_size))
    if not sum(counts) or any(count >= size for count, size in zip(counts, sizes, strict=True)):
        raise DataError(
            f"data.val_size={val_size:g} of {sum(sizes)} examples leaves too few on one side\n"
            "  below 1 it is a share, from 1 on a number of examples"
        )
    kept, held = [], []
    for number, (examples, count) in enumerate(zip(sets, counts, strict=True)):
        order = np.random.default_rng([seed, number]).permutation(len(examples))
        kept.append(examples.select(np.sort(order[count:])))
        held.append(examples.select(np.sort(order[:count])))
    return kept, datasets.concatenate_datasets(held)


def _shares(sizes: Sequence[int], total: int) -> list[int]:
    """Divide a total in proportion to sizes; what rounding leaves over goes to the largest remainders."""
    exact = [total * size / sum(sizes) for size in sizes]
    shares = [int(share) for share in exact]
    order = sorted(range(len(sizes)), key=lambda index: shares[index] - exact[index])
    for index in order[: total - sum(shares)]:
        shares[index] += 1
    return shares


def joined(sets: Sequence[datasets.Dataset], column: str | None) -> datasets.Dataset:
    """What was held out by a column of several sets. Raises: DataError when that is nothing."""
    import datasets

    if not sets:
        raise DataError(
            f"data.split_by={column}: no value of it is held out\n"
            "  there are few: a larger data.val_size, another data.shuffle_seed, or another column"
        )
    return datasets.concatenate_datasets(list(sets))


class Resampled:
    """A training set whose examples are drawn anew for each epoch, as many in each.

    Args:
        examples: all sets, one behind the other.
        mixture: which of them an epoch has.
    """

    def __init__(self, examples: datasets.Dataset, mixture: Mixture) -> None:
        self.examples, self.mixture = examples, mixture
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Draw the examples of an epoch, counted from 0. Loops call it before they read one."""
        self.rows = self.mixture.rows(epoch)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        example: dict[str, Any] = self.examples[int(self.rows[index])]
        return example

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Several at once, which is faster."""
        examples: list[dict[str, Any]] = self.examples.__getitems__([int(self.rows[index]) for index in indices])
        return examples


def mixture_of(
    entries: Sequence[Entry], sets: Sequence[datasets.Dataset], names: Sequence[str], options: Datasets
) -> Mixture:
    """What an epoch is made of, as the entries of the sets ask for it."""
    parts = [
        Part(name, len(examples), entry.samples, entry.weight)
        for entry, examples, name in zip(entries, sets, names, strict=True)
    ]
    return Mixture(parts, options.mix, options.shuffle_seed, options.resample)


def mixed(sets: Sequence[datasets.Dataset], mixture: Mixture) -> Any:
    """Make one training set, which gives its numbers as arrays.

    Args:
        sets: of the mixture's parts.

    Returns: a data set, or Resampled where epochs have different examples.
    """
    import datasets

    examples = sets[0] if len(sets) == 1 else datasets.concatenate_datasets(list(sets))
    if mixture.varies:
        return Resampled(examples.with_format("numpy"), mixture)
    if not mixture.is_plain:
        examples = examples.select(mixture.rows())
    return examples.with_format("numpy")


def some_of(name: str, examples: datasets.Dataset, samples: int | None, seed: int) -> datasets.Dataset:
    """An evaluation set, or as many of its examples as are asked for, drawn at random; none comes twice."""
    if samples is None or samples == len(examples):
        return examples
    if samples > len(examples):
        told = f"{samples:,} samples of its {len(examples):,} examples are asked for"
        logger.warning("data %s: %s; each is measured once", name, told)
        return examples
    return examples.select(drawn(len(examples), samples, 0, (seed,)))


def in_numpy(sets: Mapping[str, datasets.Dataset]) -> dict[str, datasets.Dataset]:
    """Sets that give their numbers as arrays."""
    return {name: examples.with_format("numpy") for name, examples in sets.items()}


def announce_mixture(mixture: Mixture, val_size: float) -> None:
    """Say of each set what an epoch has of it, and of them all."""
    alone = len(mixture.parts) == 1 and mixture.is_plain
    for number, part in enumerate(() if alone else mixture.parts):
        taken = int(mixture.taken[number])
        times = f"each {taken / part.size:.3g} times" if taken % part.size else f"each {_times(taken // part.size)}"
        distinct = mixture.distinct(number)
        fresh = ", drawn anew in each epoch" if mixture.varies_in(number) else ""
        told = f"{taken:,} examples, of {distinct:,} of its {part.size:,}{fresh}"
        announce(f"mix {part.name}", told, f"{taken / len(mixture):.1%} of an epoch; {times}")
    announce("training examples", f"{len(mixture):,}", f"{mixture.mix} of {len(mixture.parts)}, val_size={val_size:g}")


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count:,} times")
