"""The draws of a stream, each a function of its number: which set an example is of, and in whose place it is held back.

So what is held back after any number of examples can be told without going through those before.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_CHUNK = 4096  # draws that are made together


class Draws:
    """
    Args:
        seeds: of all draws.
        size: examples that are held back. The first ones fill it; from then on one of them is given, and the next one
            comes in its place.
        weights: of the lanes that the next example is taken from.
    """

    def __init__(self, seeds: Sequence[int], size: int, weights: Sequence[float]) -> None:
        self._seeds, self.size = list(seeds), size
        self._shares = np.asarray(weights) / sum(weights)
        self._chunks: dict[str, tuple[int, np.ndarray]] = {}

    def slot(self, number: int) -> int:
        """In which place the example is held that is given as the one of this number, from 0 on."""
        return int(self._known("slots", number)[number % _CHUNK])

    def lane(self, number: int) -> int:
        """Which lane an example is taken from, by the number in which they are taken."""
        return int(self._known("lanes", number)[number % _CHUNK]) if len(self._shares) > 1 else 0

    def _known(self, kind: str, number: int) -> np.ndarray:
        chunk, draws = self._chunks.get(kind, (-1, np.empty(0, np.int64)))
        if chunk != number // _CHUNK:
            chunk = number // _CHUNK
            draws = self._slots(chunk) if kind == "slots" else self._lanes(chunk)
            self._chunks[kind] = chunk, draws
        return draws

    def _slots(self, chunk: int) -> np.ndarray:
        return np.random.default_rng([*self._seeds, 0, chunk]).integers(self.size, size=_CHUNK)

    def _lanes(self, chunk: int) -> np.ndarray:
        return np.random.default_rng([*self._seeds, 1, chunk]).choice(len(self._shares), size=_CHUNK, p=self._shares)

    def held(self, given: int, taken: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """What is held back after a number of examples.

        Args:
            taken: examples that were taken from each lane by then.

        Returns: by place the lane, and the number of the example in it: int64 (size,).
        """
        numbers = self._numbers(given)
        first, end = int(numbers.min()), given + self.size
        if len(self._shares) == 1:
            return np.zeros(self.size, np.int64), numbers
        chunks = [self._lanes(chunk) for chunk in range(first // _CHUNK, (end - 1) // _CHUNK + 1)]
        lanes = np.concatenate(chunks)[first % _CHUNK :][: end - first]
        within = np.empty(end - first, np.int64)
        for lane, count in enumerate(taken):
            places = np.flatnonzero(lanes == lane)
            within[places] = count - len(places) + np.arange(len(places))
        return lanes[numbers - first], within[numbers - first]

    def _numbers(self, given: int) -> np.ndarray:
        """Which example is held in each place, by the number in which they are taken: the last that came there."""
        numbers, found = np.arange(self.size), np.zeros(self.size, bool)
        for chunk in range((given - 1) // _CHUNK, -1, -1):
            draws = self._slots(chunk)[: given - chunk * _CHUNK][::-1]
            slots, last = np.unique(draws, return_index=True)
            new = ~found[slots]
            numbers[slots[new]] = self.size + chunk * _CHUNK + len(draws) - 1 - last[new]
            found[slots] = True
            if found.all():
                break
        return numbers
