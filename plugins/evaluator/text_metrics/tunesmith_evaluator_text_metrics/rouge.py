"""ROUGE (Lin 2004, *ROUGE: A Package for Automatic Evaluation of Summaries*): F1 of n-grams, and of the longest common
subsequence of the whole texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rapidfuzz.distance import LCSseq


def rouge(said: Sequence[str], expected: Sequence[str]) -> dict[str, float]:
    """`rouge_1`, `rouge_2` and `rouge_l` of two lists of tokens, from 0 to 1."""
    grams = {f"rouge_{order}": [_ngrams(tokens, order) for tokens in (said, expected)] for order in (1, 2)}
    scores = {name: f1((mine & other).total(), mine.total(), other.total()) for name, (mine, other) in grams.items()}
    return {**scores, "rouge_l": f1(LCSseq.similarity(said, expected), len(said), len(expected))}


def f1(common: int, said: int, expected: int) -> float:
    """The harmonic mean of common / said and common / expected; 0 where nothing is common."""
    return 2 * common / (said + expected) if common else 0.0


def _ngrams(tokens: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[at : at + order]) for at in range(len(tokens) - order + 1))
