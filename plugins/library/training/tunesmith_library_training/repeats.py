"""How many of the examples that a run is trained on were seen before in the same epoch, by their content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from tunesmith.types import Batch

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
    """Counts what one process is trained on."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._epoch = -1

    def trained(self, batches: Iterable[Batch], epoch: int) -> tuple[int, int]:
        """Take the fingerprints out of batches that are trained on.

        Args:
            epoch: counted from 0; the first batch of another one forgets those before.

        Returns: how many examples there are, and how many of them were seen before in this epoch.
        """
        if epoch != self._epoch:
            self._seen, self._epoch = set(), epoch
        count = repeated = 0
        for batch in batches:
            for fingerprint in batch.pop(FINGERPRINTS, ()):
                count += 1
                repeated += fingerprint in self._seen
                if len(self._seen) < MOST:
                    self._seen.add(fingerprint)
        return count, repeated
