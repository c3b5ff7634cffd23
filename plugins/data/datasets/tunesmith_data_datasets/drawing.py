"""Which examples of several sets an epoch has, and in which order: numbers alone, a function of seed and epoch.

So any epoch can be drawn without those before it, and a resumed run sees what an uninterrupted one sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from tunesmith import DataError

Mix = Literal["concat", "interleave_under", "interleave_over", "interleave_once"]

_CHUNK = 1 << 16  # draws at a time
_MOST = 1 << 31  # examples of an epoch


@dataclass(frozen=True)
class Part:
    """A set in a mix."""

    name: str
    size: int  # examples that there are
    samples: int | None = None  # how many of them an epoch has; None has each once
    weight: float = 1.0

    @property
    def count(self) -> int:
        """How many examples it brings into the mix."""
        return self.size if self.samples is None else self.samples


class Mixture:
    """What every epoch is made of.

    Args:
        parts: the sets.
        mix: `concat` puts them one behind the other; the others draw the next example's set by weight:
            `interleave_under` until one is used up, `interleave_over` until all were used up, beginning again with the
            smaller ones, `interleave_once` until all are used up, each once.
        seed: of all draws.
        resample: whether each epoch draws its examples anew. The sets come in the same order in each.
    """

    def __init__(self, parts: Sequence[Part], mix: Mix, seed: int, resample: bool = False) -> None:
        self.parts, self.mix, self.seed, self.resample = parts, mix, seed, resample
        counts, weights = [part.count for part in parts], [part.weight for part in parts]
        self.sets = _sets_in_order(counts, weights, mix, seed) if len(parts) > 1 else np.zeros(counts[0], np.int32)
        self.taken = np.bincount(self.sets, minlength=len(parts))
        """How many examples of each set an epoch has, int64 (number of sets,)."""

    def __len__(self) -> int:
        return len(self.sets)

    @property
    def is_plain(self) -> bool:
        """Whether it is all sets, one behind the other, as they are."""
        return self.mix == "concat" and all(part.samples is None for part in self.parts)

    @property
    def varies(self) -> bool:
        """Whether an epoch has other examples than the one before."""
        return any(map(self.varies_in, range(len(self.parts))))

    def varies_in(self, number: int) -> bool:
        """Whether an epoch has other examples of a set than the one before."""
        once = self.distinct(number)
        return self.resample and bool(once and (once % self.parts[number].size or self.taken[number] % once))

    def distinct(self, number: int) -> int:
        """How many different examples of a set an epoch has."""
        return int(min(self.taken[number], self.parts[number].count, self.parts[number].size))

    def rows(self, epoch: int = 0) -> np.ndarray:
        """The places of an epoch's examples in all sets, one behind the other: int64 (len(self),)."""
        found = np.empty(len(self), np.int64)
        start = 0
        for number, part in enumerate(self.parts):
            found[self.sets == number] = start + self._drawn(number, epoch)
            start += part.size
        return found

    def _drawn(self, number: int, epoch: int) -> np.ndarray:
        """The places of an epoch's examples in one set."""
        part, taken = self.parts[number], int(self.taken[number])
        epoch = epoch if self.resample else 0
        once = min(taken, part.count)
        if part.samples is None and not self.resample:
            chosen = np.arange(once)
        else:
            chosen = drawn(part.size, once, epoch, (self.seed, number, 0))
        again = drawn(once, taken, epoch, (self.seed, number, 1)) if self.resample else np.arange(taken) % once
        return np.asarray(chosen[again])


def drawn(size: int, count: int, epoch: int, seeds: tuple[int, ...]) -> np.ndarray:
    """Draw `count` of `size` places for an epoch, each as often as any other, or once more: sorted int64 (count,).

    Following epochs go through the places in a shuffled order, again and again, so that none comes a second time before
    all have come once.
    """
    if not count:
        return np.empty(0, np.int64)
    whole, rest = divmod(count, size)
    every = np.tile(np.arange(size), whole)
    if not rest:
        return every
    lap, start = divmod(epoch * rest, size)
    chosen = _lap(size, rest, lap, seeds)[start : start + rest]
    if len(chosen) < rest:
        chosen = np.concatenate([chosen, _lap(size, rest, lap + 1, seeds)[: rest - len(chosen)]])
    return np.concatenate([every, np.sort(chosen)])


def _lap(size: int, rest: int, lap: int, seeds: tuple[int, ...]) -> np.ndarray:
    """All places in the order of a lap, of which each epoch takes the next `rest`.

    An epoch that begins in one lap and ends in the next has no place twice: the next one begins with others.
    """
    order = np.empty(0, np.int64)
    for number in range(lap + 1):
        before = order[size - number * size % rest :] if number else order  # of the epoch that goes on in this lap
        order = np.random.default_rng([*seeds, number]).permutation(size)
        if len(before):
            had = np.zeros(size, bool)
            had[before] = True
            begins = order[~had[order]][: rest - len(before)]
            had[:] = False
            had[begins] = True
            order = np.concatenate([begins, order[~had[order]]])
    return order


def _sets_in_order(counts: Sequence[int], weights: Sequence[float], mix: Mix, seed: int) -> np.ndarray:
    """The number of each example's set, int32.

    Raises: DataError when the weights make an epoch that is too long to be listed.
    """
    if mix == "concat":
        return np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    random = np.random.default_rng(seed)
    if mix == "interleave_once":
        return _each_once(np.array(counts), np.array(weights), random)
    shares = np.array(weights) / sum(weights)
    longest = (max if mix == "interleave_over" else min)(
        count / share for count, share in zip(counts, shares, strict=True)
    )
    if longest > _MOST:
        raise DataError(
            f"data.mix={mix}: by these weights an epoch has about {longest:,.0f} examples\n"
            "  bring the weights nearer to the sizes, or say with samples how many of a set an epoch has"
        )
    left = np.array(counts)
    chunks: list[np.ndarray] = []
    while True:
        chunk = random.choice(len(counts), size=_CHUNK, p=shares).astype(np.int32)
        ends = [_place_of(chunk == number, count) for number, count in enumerate(left)]
        end = max(ends) if mix == "interleave_over" else min(ends)
        if end < _CHUNK:
            return np.concatenate([*chunks, chunk[: end + 1]])
        chunks.append(chunk)
        left = left - np.bincount(chunk, minlength=len(counts))


def _place_of(hits: np.ndarray, count: int) -> int:
    """Where the `count`-th hit is; -1 when that was before, the length when it is not among them."""
    places = np.flatnonzero(hits)
    return -1 if count <= 0 else int(places[count - 1]) if count <= len(places) else len(hits)


def _each_once(left: np.ndarray, weights: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Draw sets by weight until all are used up, each of whose examples comes once."""
    chunks = []
    while left.any():
        shares = np.where(left > 0, weights, 0.0)
        chunk = random.choice(len(left), size=min(_CHUNK, int(left.sum())), p=shares / shares.sum()).astype(np.int32)
        end = min(_place_of(chunk == number, count) for number, count in enumerate(left) if count)
        chunks.append(chunk[: end + 1])
        left = left - np.bincount(chunks[-1], minlength=len(left))
    return np.concatenate(chunks)
