"""Several short sequences in one row: best-fit decreasing bin packing (Ding et al. 2024, arXiv 2404.10830)."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith_library_media.expanding import COLUMNS
from tunesmith_library_training.media import COUNTS, counts


def best_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Fill bins: each item, longest first, into the fullest bin that still has room. O(n log n) comparisons.

    Args:
        lengths: of the items, in tokens, each at most `capacity`.

    Returns: indices of the items of each bin; every index once.
    """
    bins: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (free tokens, bin), sorted
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        place = bisect.bisect_left(room, (lengths[index], -1))
        if place < len(room):
            free, chosen = room.pop(place)
        else:
            free, chosen = capacity, len(bins)
            bins.append([])
        bins[chosen].append(index)
        bisect.insort(room, (free - lengths[index], chosen))
    return bins


def pack(
    sequences: Sequence[Mapping[str, list[Any]]], capacity: int, columns: Sequence[str]
) -> dict[str, list[list[Any]]]:
    """Join sequences to rows of up to `capacity` tokens.

    Returns: the columns, and `sequence_lengths`, by which a batch keeps the sequences apart; where there are columns of
        images, videos or sounds, also `media.COUNTS`.
    """
    lengths = [len(sequence["input_ids"]) for sequence in sequences]
    bins = best_fit(lengths, capacity)
    rows = {name: [[value for index in bin for value in sequences[index][name]] for bin in bins] for name in columns}
    rows["sequence_lengths"] = [[lengths[index] for index in bin] for bin in bins]
    if any(column in COLUMNS for column in columns):
        rows[COUNTS] = [[counts(sequences[index]) for index in bin] for bin in bins]
    return rows
