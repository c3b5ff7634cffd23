"""What a model says of sequences that are there already: log-probabilities of their tokens, and vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy
from numpy.typing import NDArray
from tunesmith.types import LogProb
from tunesmith_library_llamacpp.context import Context
from tunesmith_library_llamacpp.sampling import log_probabilities


def score(context: Context, sequences: Sequence[Sequence[int]], alternatives: int) -> list[tuple[LogProb, ...]]:
    """The log-probabilities of each sequence's tokens behind its first."""
    found = []
    for sequence in sequences:
        told = []
        for places in context.read(sequence):
            for entry, place in enumerate(places):
                if place + 1 < len(sequence):
                    told.append(log_prob_of(context.logits(entry), sequence[place + 1], alternatives))
        context.forget(0)
        found.append(tuple(told))
    return found


def embed(context: Context, sequences: Sequence[Sequence[int]]) -> list[list[float]]:
    """The mean over each sequence's tokens of the model's last hidden states."""
    found = [context.embeddings(sequence).mean(0).tolist() for sequence in sequences]
    context.forget(0)
    return found


def log_prob_of(logits: NDArray[numpy.float32], token: int, alternatives: int) -> LogProb:
    """
    Args:
        logits: fp32 (V,).
        alternatives: how many of the likeliest are told.
    """
    said = log_probabilities(logits)
    if not alternatives:
        return LogProb(float(said[token]))
    count = min(alternatives, len(said))
    best = numpy.argpartition(-said, count - 1)[:count]
    best = best[numpy.argsort(-said[best], kind="stable")]
    return LogProb(float(said[token]), {int(at): float(said[at]) for at in best})
