"""Metrics of a whole set of answers: BLEU by sacrebleu (Post 2018, arXiv 1804.08771), chrF (Popović 2015).

Both are no means over examples, but functions of sums of counts; so their standard errors are drawn, and a draw sums
rows of a matrix of counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sacrebleu.metrics.bleu import BLEU
from tunesmith_library_evaluating import Measured
from tunesmith_library_evaluating.statistics import bootstrap

from tunesmith_evaluator_text_metrics.segmenting import Segmentation

Pairs = Sequence[tuple[str, str]]
"""What was said, and what was expected."""

_TOKENIZERS = {"words": "13a", "jieba": "zh", "characters": "char"}
_ORDER = 4  # of BLEU's n-grams
_CHARACTERS = 6  # order of chrF's n-grams
_BETA = 2  # how much more recall counts than precision in chrF


def signature(segmentation: Segmentation) -> str:
    """How BLEU was computed, in sacrebleu's words."""
    import sacrebleu

    tokenizer = _TOKENIZERS[segmentation]
    return f"nrefs:1|case:mixed|eff:no|tok:{tokenizer}|smooth:exp|version:{sacrebleu.__version__}"


def bleu(pairs: Pairs, segmentation: Segmentation) -> tuple[Measured, list[float]]:
    """BLEU of all answers together, and of each (with its effective order); from 0 to 100."""
    # sacrebleu warns of texts that are tokenised already, which those of models may look like
    metric = BLEU(tokenize=_TOKENIZERS[segmentation], effective_order=True, force=True)
    scores = [metric.sentence_score(said, [expected]) for said, expected in pairs]
    counts = [[*score.counts, *score.totals, score.sys_len, score.ref_len] for score in scores]
    return _drawn(counts, _bleu_of), [score.score for score in scores]


def _bleu_of(sums: Sequence[int]) -> float:
    correct, total, (sys_len, ref_len) = sums[:_ORDER], sums[_ORDER : 2 * _ORDER], sums[2 * _ORDER :]
    if not any(correct):
        return 0.0
    score = BLEU.compute_bleu(list(correct), list(total), sys_len, ref_len, smooth_method="exp")
    return float(score.score)


def chrf(pairs: Pairs) -> tuple[Measured, list[float]]:
    """chrF2 of all answers together, and of each; from 0 to 100. White space does not count."""
    counts = [_counted(*pair) for pair in pairs]
    return _drawn(counts, _chrf_of), [_chrf_of(row) for row in counts]


def _counted(said: str, expected: str) -> list[int]:
    """For each order the n-grams of the answer, of the expected text, and those that match."""
    texts = ["".join(text.split()) for text in (said, expected)]
    counts: list[int] = []
    for order in range(1, _CHARACTERS + 1):
        mine, other = (Counter(text[at : at + order] for at in range(len(text) - order + 1)) for text in texts)
        # an order that the expected text is too short for counts nothing
        counts += [mine.total() if other else 0, other.total(), (mine & other).total()]
    return counts


def _chrf_of(sums: Sequence[int]) -> float:
    found = [sums[at : at + 3] for at in range(0, len(sums), 3)]
    used = [counts for counts in found if counts[0] and counts[1]]
    if not used:
        return 0.0
    precision = sum(match / mine for mine, _, match in used) / len(used)
    recall = sum(match / other for _, other, match in used) / len(used)
    weighted = _BETA**2 * precision + recall
    return 100 * (1 + _BETA**2) * precision * recall / weighted if weighted else 0.0


def _drawn(counts: Sequence[Sequence[int]], score: Callable[[Sequence[int]], float]) -> Measured:
    matrix: Any = np.asarray(counts, dtype=np.int64)
    return bootstrap(range(len(counts)), lambda rows: score(matrix[list(rows)].sum(0).tolist()))
