"""How many of the examples that a run is trained on were seen before in the same epoch, by their content."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from tunesmith.types import Batch

from tunesmith_library_training import processes

FINGERPRINTS = "fingerprints"
"""The key of a batch under which those of its examples stand."""

MOST = 1_000_000
"""Examples that are remembered; of a longer epoch the first ones."""


def fingerprints(examples: Sequence[Mapping[str, Any]]) -> list[int]:
    """A number of 64 bits for each example, the same for the same columns, whatever data set it is of."""
    return [_fingerprint(example) for example in examples]


def _fingerprint(example: Mapping[str, Any]) -> int:
    digest = hashlib.blake2b(digest_size=8)
    for name, value in example.items():
        if name != "dataset":
            digest.update(_bytes(value))
    return int.from_bytes(digest.digest(), "big")


def _bytes(value: Any) -> bytes:
    """A column's content, or Python's hash of many numbers, which is the same in all processes, and quick."""
    if isinstance(value, np.ndarray):
        return value.tobytes()
    if isinstance(value, list) and value and isinstance(value[0], int):
        return hash(tuple(value)).to_bytes(8, "big", signed=True)
    return repr(value).encode()


class Repeats:
    """Counts what all processes are trained on."""

    def __init__(self) -> None:
        self._new: list[tuple[int, list[int]]] = []  # of this process: the epoch of a step, and its fingerprints
        self._seen: set[int] = set()
        self._epoch = -1

    def trained(self, batches: Iterable[Batch], epoch: int) -> None:
        """Take the fingerprints out of the batches of a step.

        Args:
            epoch: counted from 0; the first batch of another one forgets those before.
        """
        self._new.append((epoch, [fingerprint for batch in batches for fingerprint in batch.pop(FINGERPRINTS, ())]))

    def told(self, group: Any = None) -> tuple[int, int]:
        """How many examples there were since the last time, and how many of them were seen before in their epoch.

        All processes call it: two examples that are alike may be trained by different ones.
        """
        new, self._new = self._new if processes.leads() else [], []
        count = repeated = 0
        for steps in itertools.zip_longest(*processes.gathered(new, group)):
            for epoch, fingerprints_of_step in filter(None, steps):
                count += len(fingerprints_of_step)
                repeated += self._seen_before(epoch, fingerprints_of_step)
        return count, repeated

    def _seen_before(self, epoch: int, those: Sequence[int]) -> int:
        if epoch != self._epoch:
            self._seen, self._epoch = set(), epoch
        repeated = 0
        for fingerprint in those:
            repeated += fingerprint in self._seen
            if len(self._seen) < MOST:
                self._seen.add(fingerprint)
        return repeated
