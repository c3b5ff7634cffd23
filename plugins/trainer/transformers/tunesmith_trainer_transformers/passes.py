"""The forward passes of an optimizer step: what each is made of, and how one that is too large is cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tunesmith.types import Batch
from tunesmith_library_training.counts import COUNTS
from tunesmith_library_training.lengths import tokens_of
from tunesmith_library_training.repeats import FINGERPRINTS

PIECES = "pieces"
"""The key under which the forward passes that stand for a micro-batch come to a training step."""

KEPT = "kept"
"""The key of a batch of a stream under which the examples that it is made of are."""

TOLD = ("num_tokens", "num_trained", "num_predicted")
"""Numbers of a batch that are counted, and that the loss does not read."""

_EXAMPLES, _TOKENS = "examples_at_once", "tokens_at_once"


class Kept:
    """Examples beside their batch. No sequence, or data loaders would look for tensors in each of its numbers."""

    def __init__(self, examples: Sequence[Any]) -> None:
        self.examples = list(examples)


class KeepingCollator:
    """Batches of a stream, which cannot be asked for an example again, with what they are made of as `KEPT`."""

    def __init__(self, collate: Callable[[Sequence[Any]], Batch]) -> None:
        self._collate = collate

    def __call__(self, examples: Sequence[Any]) -> Batch:
        return {**self._collate(examples), KEPT: Kept(examples)}


@dataclass
class Piece:
    """One forward pass."""

    batch: Batch
    examples: list[int] | None  # their places: none of a stream, None of what is computed and counts nothing
    kept: Sequence[Any] = ()  # the examples themselves, of a stream

    @classmethod
    def of(cls, batch: Batch) -> Piece:
        """A batch as the loop counted it; what only counts is taken out of it."""
        kept = batch.pop(KEPT, None)
        return cls(batch, batch.pop("examples", []), kept.examples if kept is not None else ())

    @property
    def count(self) -> int:
        """Examples of it that could be computed one by one."""
        return len(self.examples or self.kept) or 1


@dataclass
class Limits:
    """What goes through the model at once, at most, since memory ran out; None where it never did."""

    examples: int | None = None
    tokens: int | None = None
    facts: MutableMapping[str, int] = field(default_factory=dict)  # that checkpoints keep, and a run that goes on has

    @classmethod
    def of(cls, facts: MutableMapping[str, int]) -> Limits:
        """Those that a run goes on with."""
        return cls(facts.get(_EXAMPLES), facts.get(_TOKENS), facts)

    def lower(self, examples: int | None, tokens: int | None) -> None:
        """Let no more through from here on."""
        for name, key, value in (("examples", _EXAMPLES, examples), ("tokens", _TOKENS, tokens)):
            if value is not None:
                setattr(self, name, value)
                self.facts[key] = value


def kept_limits(told: Mapping[str, Any]) -> dict[str, int]:
    """What a checkpoint tells of limits."""
    return {name: int(told[name]) for name in (_EXAMPLES, _TOKENS) if name in told}


class Cutter:
    """Makes smaller passes of a pass.

    Args:
        collate: makes a batch of examples, as the data set gives them.
        dataset: that gives an example by its place; None of a stream.
    """

    def __init__(self, collate: Callable[[Sequence[Any]], Batch], dataset: Any, limits: Limits) -> None:
        self._collate, self._dataset, self.limits = collate, dataset, limits

    def cut(self, piece: Piece) -> list[Piece]:
        """A pass as passes within the limits, in the same order; a single example is never cut."""
        if piece.count == 1 or (self.limits.examples is None and self.limits.tokens is None):
            return [piece]
        examples = self.examples_of(piece)
        groups = list(self._groups([tokens(example) for example in examples]))
        if len(groups) == 1:
            return [piece]
        return [self.made([examples[place] for place in group]) for group in groups]

    def made(self, examples: Sequence[Any]) -> Piece:
        """The pass of some examples."""
        batch = self._collate(examples)
        for name in (*TOLD, COUNTS, FINGERPRINTS):
            batch.pop(name, None)
        return Piece.of(batch)

    def examples_of(self, piece: Piece) -> list[Any]:
        """What a pass is made of, as `collate` takes it."""
        if piece.kept or self._dataset is None:
            return list(piece.kept)
        return [self._dataset[place] for place in piece.examples or []]

    def _groups(self, sizes: Sequence[int]) -> Iterator[range]:
        most, budget = self.limits.examples or len(sizes), self.limits.tokens or sum(sizes)
        start, total = 0, 0
        for place, size in enumerate(sizes):
            if place > start and (place - start == most or total + size > budget):
                yield range(start, place)
                start, total = place, 0
            total += size
        yield range(start, len(sizes))


def tokens(example: Any) -> int:
    """Tokens of an example, that comes with its place in the data set or alone."""
    return tokens_of(example[1] if isinstance(example, tuple) else example)
