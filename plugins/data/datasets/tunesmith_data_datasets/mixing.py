"""Holding examples back for evaluation, and mixing training sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from tunesmith import DataError

if TYPE_CHECKING:
    import datasets

Mix = Literal["concat", "interleave_under", "interleave_over"]


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


def mix_sets(sets: Sequence[datasets.Dataset], mix: Mix, weights: Sequence[float], seed: int) -> datasets.Dataset:
    """Make one training set.

    Args:
        sets: at least one.
        mix: `concat` puts them one behind the other; `interleave_under` draws from them by weight until one is used
            up, `interleave_over` until all were used up, repeating the smaller ones.
        weights: one per set, relative to each other.
        seed: of the drawing.
    """
    import datasets

    if len(sets) == 1:
        return sets[0]
    if mix == "concat":
        return datasets.concatenate_datasets(list(sets))
    return datasets.interleave_datasets(
        list(sets),
        probabilities=[weight / sum(weights) for weight in weights],
        seed=seed,
        stopping_strategy="first_exhausted" if mix == "interleave_under" else "all_exhausted",
    )
