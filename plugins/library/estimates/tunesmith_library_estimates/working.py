"""What has to be computed, and how much of it there is: time is found from these."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

Per = Literal["token", "example", "step", "run"]
"""What something has to be done for: each token of the training data, padding included, each example, …"""

_SPREAD = 256  # lengths that stand for all


@dataclass(frozen=True)
class Work:
    """Something that a run computes, beside the passes of its training. It takes as long as the slowest of its parts.

    Of one process: what several share is divided by who shares it.
    """

    flops: float = 0.0  # operations in products of matrices
    bytes: float = 0.0  # that are read from, or written to, the device's memory
    sent: float = 0.0  # bytes between devices
    seconds: float = 0.0  # that pass on any device, such as those of a program that is waited for
    per: Per = "token"


@dataclass(frozen=True)
class Extent:
    """How much is trained on, as far as it is known before anything is loaded."""

    examples: int | None = None  # of an epoch
    tokens: float | None = None  # of an example on average, in all its sequences
    longest: tuple[int, ...] = ()  # tokens of the longest examples, the longest first, in all the sequences of each
    held_out: int = 0  # examples that are evaluated
    encoded: bool = False  # whether these are a stage's examples as they were encoded before, not records
    # tokens of examples that stand for all: each for an equal share of them, the shortest first
    spread: tuple[int, ...] = ()
    learned: float = 1.0  # share of the tokens whose logits are computed: those that are learned
    # where it was not encoded: tokens of a sequence of the longest examples, held out ones too, at most, by their texts
    most: tuple[int, ...] = ()
    source: str = ""  # where that is known from: `encoded before`, `guessed by the first 200 records`

    def packed(self, length: int) -> Extent:
        """Records that are put together in rows of so many tokens; what was encoded before has been."""
        if self.encoded or not self.tokens:
            return self
        share = self.tokens / length
        rows = None if self.examples is None else math.ceil(self.examples * share)
        held_out = math.ceil(self.held_out * share)
        return replace(self, examples=rows, tokens=float(length), held_out=held_out, spread=(), most=())

    def longest_together(self, count: int, length: int, per_example: int = 1) -> tuple[int, ...]:
        """Tokens of so many of the longest examples, in all their sequences, the longest first; () where nobody knows.

        Args:
            length: tokens of a sequence, at most; 0 where nobody knows.
        """
        if self.longest or count > len(self.most) == _SPREAD:
            return self.longest[:count]
        return tuple(per_example * min(most, length or most) for most in self.most[:count])

    @property
    def around_a_token(self) -> float | None:
        """Tokens of the example that a token is in, on average: more than of an example, for long ones have more."""
        whole = sum(self.spread)
        return sum(length**2 for length in self.spread) / whole if whole else self.tokens

    def longest_of(self, count: int) -> float | None:
        """Tokens of the longest of so many examples that are drawn at random, on average."""
        if not self.spread:
            # where lengths are spread as those of conversations are: a guess
            return self.tokens and self.tokens * (1 + 0.4 * math.log(max(count, 1)))
        size = len(self.spread)
        chances = (((place + 1) / size) ** count - (place / size) ** count for place in range(size))
        return sum(chance * length for chance, length in zip(chances, self.spread, strict=True))


def spread_of(counts: Mapping[int, float]) -> tuple[int, ...]:
    """Lengths that stand for all. Args: counts: how many examples have each length, or their share."""
    whole, passed, found = sum(counts.values()), 0.0, list[int]()
    for length in sorted(counts):
        passed += counts[length]
        due = math.floor(_SPREAD * passed / whole + 0.5) if whole else 0
        found += [length] * (due - len(found))
    return tuple(found)


@dataclass(frozen=True)
class Pauses:
    """How often a training stops to look and to write."""

    evaluations: int = 0
    written: int = 0  # checkpoints
    kept: int = 0  # of them, at the end
    whole: bool = False  # whether the model's weights are written, and not those that are trained beside it alone
