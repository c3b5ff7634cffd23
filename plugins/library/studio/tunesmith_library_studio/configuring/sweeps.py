"""Several runs of one configuration, which differ in a few values."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith import TunesmithError
from tunesmith_library_configuration.overrides import written_overrides

MOST = 256
"""Runs of one sweep, at most."""


@dataclass(frozen=True)
class Axis:
    """An option, and the values that it is to have."""

    key: str  # adapter.rank
    values: Sequence[Any]


def variants(axes: Sequence[Axis], grid: bool = True) -> list[list[str]]:
    """The overrides of each run.

    Args:
        grid: every value with every other; else the first values of all options together, then the second ones.

    Raises: TunesmithError where there is nothing to vary, lists that go together have different lengths, or there are
        more than `MOST` runs.
    """
    empty = next((axis.key for axis in axes if not axis.values), None)
    if not axes or empty is not None:
        raise TunesmithError(f"{empty or 'a sweep'} has no values.\nwrite the values that it is to have")
    lengths = {axis.key: len(axis.values) for axis in axes}
    if not grid and len(set(lengths.values())) > 1:
        told = ", ".join(f"{key} has {count}" for key, count in lengths.items())
        raise TunesmithError(f"values that go together have to be as many of each option: {told}.\nchoose a grid")
    count = 1
    for length in lengths.values():
        count = count * length if grid else length
    if count > MOST:
        raise TunesmithError(f"a sweep has at most {MOST} runs, this one has {count}.\nleave out values")
    pairs = [[written_overrides({axis.key: value})[0] for value in axis.values] for axis in axes]
    return [list(row) for row in (itertools.product(*pairs) if grid else zip(*pairs, strict=True))]
