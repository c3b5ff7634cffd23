"""Which tokens of a concatenated batch each process has: contiguous parts, or two pieces of every sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

import torch


@dataclass(frozen=True)
class Piece:
    """Neighbouring tokens of one sequence."""

    sequence: int  # number of the sequence in the batch
    start: int  # place of the first token in its sequence, from 0
    end: int  # place behind the last one
    at: int  # place of the first token among those of its process

    @property
    def here(self) -> slice:
        """Where it stands among the tokens of its process."""
        return slice(self.at, self.at + self.end - self.start)


@dataclass(frozen=True)
class Division:
    """The tokens of a row of sequences, divided over processes: what each one has, in the order in which it has it."""

    lengths: tuple[int, ...]  # of the sequences
    parts: tuple[tuple[Piece, ...], ...]  # by process

    @property
    def size(self) -> int:
        """The number of processes."""
        return len(self.parts)

    @cached_property
    def counts(self) -> list[int]:
        """The number of tokens of each process."""
        return [sum(piece.end - piece.start for piece in part) for part in self.parts]

    def places(self, process: int) -> torch.Tensor:
        """The places in the row of a process's tokens: int64 (n,), on the CPU."""
        starts = [0, *accumulate(self.lengths)]
        own = [
            torch.arange(starts[piece.sequence] + piece.start, starts[piece.sequence] + piece.end)
            for piece in self.parts[process]
        ]
        return torch.cat(own) if own else torch.zeros(0, dtype=torch.int64)


def contiguous(lengths: Sequence[int], size: int) -> Division:
    """Parts of the row, one after the other, that differ by a token at most."""
    total = sum(lengths)
    starts = [0, *accumulate(lengths)]
    parts = []
    for first, last in pairwise(total * process // size for process in range(size + 1)):
        found = [
            (sequence, max(first, begin) - begin, min(last, end) - begin)
            for sequence, (begin, end) in enumerate(pairwise(starts))
            if max(first, begin) < min(last, end)
        ]
        parts.append(_placed(found))
    return Division(tuple(lengths), tuple(parts))


def zigzag(lengths: Sequence[int], size: int) -> Division:
    """Of each sequence, cut in 2·size pieces, process r has the pieces r and 2·size-1-r.

    A later token sees more of its sequence than an earlier one; a pair of pieces sees as much as every other pair
    (Llama 3, arXiv 2407.21783, section 3.3.2; first in zhuzilin/ring-flash-attention).
    """
    parts: list[list[tuple[int, int, int]]] = [[] for _ in range(size)]
    for sequence, length in enumerate(lengths):
        bounds = [length * number // (2 * size) for number in range(2 * size + 1)]
        for process, part in enumerate(parts):
            for number in (process, 2 * size - 1 - process):
                if bounds[number] < bounds[number + 1]:
                    part.append((sequence, bounds[number], bounds[number + 1]))
    return Division(tuple(lengths), tuple(_placed(part) for part in parts))


def _placed(found: Sequence[tuple[int, int, int]]) -> tuple[Piece, ...]:
    """Pieces one after the other."""
    begins = accumulate((end - start for _, start, end in found), initial=0)
    return tuple(Piece(*each, at) for each, at in zip(found, begins, strict=False))
