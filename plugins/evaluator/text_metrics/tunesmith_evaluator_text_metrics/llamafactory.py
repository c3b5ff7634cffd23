"""The numbers that LLaMA-Factory's prediction reports: BLEU-4 over characters and ROUGE over jieba's words, times 100.

They are nltk's smoothed BLEU and rouge-chinese's ROUGE, which counts each n-gram once, computed as these do, so that
results compare with published ones.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from rapidfuzz.distance import LCSseq

from tunesmith_evaluator_text_metrics.segmenting import cut

_SENTENCE_ENDS = (
    (re.compile(r"([。！？\?])([^”’])"), "\\1\n\\2"),
    (re.compile(r"(\.{6})([^”’])"), "\\1\n\\2"),
    (re.compile(r"(\…{2})([^”’])"), "\\1\n\\2"),
    (re.compile(r"([。！？\?][”’])([^，。！？\?])"), "\\1\n\\2"),
)


def similarity(said: str, expected: str) -> tuple[float, float, float, float]:
    """BLEU-4, and ROUGE-1, ROUGE-2 and ROUGE-L (F1), each from 0 to 100."""
    mine, other = _words(said), _words(expected)
    if not any(mine) or not any(other):
        return 100 * bleu_4(said, expected), 0.0, 0.0, 0.0
    first, second = (_rouge(*(_distinct(words, order) for words in (mine, other))) for order in (1, 2))
    longest = _f1(LCSseq.similarity(mine, other), len(mine), len(other))
    return 100 * bleu_4(said, expected), 100 * first, 100 * second, 100 * longest


def bleu_4(said: str, expected: str) -> float:
    """BLEU of characters up to 4-grams; the k-th order without a match has the precision 1 / 2^k / n-grams (Chen and
    Cherry 2014, *A Systematic Comparison of Smoothing Techniques for Sentence-Level BLEU*, method 3)."""
    logs, empty = 0.0, 0
    for order in range(1, 5):
        mine, other = (
            Counter(text[at : at + order] for at in range(len(text) - order + 1)) for text in (said, expected)
        )
        match = (mine & other).total()
        if order == 1 and not match:
            return 0.0
        empty += not match
        logs += math.log((match or 2.0**-empty) / max(1, mine.total())) / 4
    return min(1.0, math.exp(1 - len(expected) / len(said))) * math.exp(logs)


def _words(text: str) -> list[str]:
    """jieba's words as rouge-chinese sees them: of sentences, of which an empty one is an empty word."""
    joined = " ".join(cut(text))
    for pattern, parts in _SENTENCE_ENDS:
        joined = pattern.sub(parts, joined)
    sentences = [sentence for sentence in joined.rstrip().split("\n") if sentence]
    return [word for sentence in sentences for word in " ".join(sentence.split()).split(" ")]


def _distinct(words: Sequence[str], order: int) -> set[tuple[str, ...]]:
    return {tuple(words[at : at + order]) for at in range(len(words) - order + 1)}


def _rouge(mine: set[tuple[str, ...]], other: set[tuple[str, ...]]) -> float:
    return _f1(len(mine & other), len(mine), len(other))


def _f1(common: int, said: int, expected: int) -> float:
    """F1 with rouge-chinese's 1e-8 in the denominator."""
    precision, recall = common / max(1, said), common / max(1, expected)
    return 2 * precision * recall / (precision + recall + 1e-8)
