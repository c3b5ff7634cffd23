"""What it takes to read sequences and tell how likely they are, for evaluators that have nothing written; no torch."""

from __future__ import annotations

from tunesmith_library_estimates.estimation import Estimate, Memory

_CHUNK, _CHUNK_ON_CPU = 2**25, 2**24  # logits at a time, as in `tunesmith_library_training.head`
_SCORES = 2**26  # numbers of a batch that is scored, as in `tunesmith_engine_transformers.scoring`
_OF_A_LOGIT = 10  # bytes: as it is computed, in float32, and as a log-probability


def with_reading(estimate: Estimate, tokens: int) -> Estimate:
    """The estimate with forward passes of which nothing is kept: what one layer computes, and a chunk of logits.

    Args:
        tokens: that are computed at a time.
    """
    if not estimate.weights:
        return estimate
    chunk = _CHUNK_ON_CPU if estimate.machine.device == "cpu" else _CHUNK
    return _reading(estimate, tokens, _OF_A_LOGIT * min(tokens * estimate.vocabulary, chunk))


def with_scoring(estimate: Estimate) -> Estimate:
    """The estimate with sequences that the engine in this process scores: the logits of a batch exist at once."""
    if not estimate.weights or not estimate.vocabulary:
        return estimate
    return _reading(estimate, _SCORES // estimate.vocabulary, _computed(estimate) * _SCORES)


def _computed(estimate: Estimate) -> int:
    return 4 if estimate.precision == "fp32" else 2


def _reading(estimate: Estimate, tokens: int, logits: float) -> Estimate:
    widest = max((weight.shape[0] for weight in estimate.weights if weight.kind == "linear"), default=0)
    size = _computed(estimate) * tokens * (3 * widest + 4 * estimate.hidden_size)
    made = estimate.plus("a layer that reads", Memory(float(size), phases=("forward",), of="activations"))
    return made.plus("logits", Memory(float(logits), phases=("forward",), of="activations"))
