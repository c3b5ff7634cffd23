"""What stages of token losses cost: the length of their sequences, and the logits of a chunk. Without torch."""

from __future__ import annotations

import math
from dataclasses import replace

from tunesmith_library_estimates.estimation import Estimate, Memory

_CHUNK, _CHUNK_ON_CPU, _BLOCK_ON_CPU = 2**25, 2**24, 2**19  # logits at a time, as in `linear_cross_entropy` and `head`


def estimate_token_loss(estimate: Estimate, max_length: int, chunk_size: int, one_pass: bool | None = None) -> Estimate:
    """Set the length, and add what exists where the loss is computed.

    In one pass of each logit of a chunk its gradient, in its place, and of a block on CPUs, of the chunk elsewhere,
    float32 numbers; else of each its log-probability and, twice, its gradient, in float32. The hidden states and their
    gradient; and of an output layer that is trained the gradient of all chunks, and of one where it is not added up.

    Args:
        chunk_size: trained tokens at a time; 0 is as many as fit 128 MiB.
        one_pass: whether the loss is the plain cross entropy; None where that is so if the output layer is frozen.
    """
    made = replace(estimate, length=max_length)
    if not estimate.vocabulary:
        return made
    outputs = [weight for weight in estimate.weights if weight.kind == "head"]
    outputs = outputs or [weight for weight in estimate.weights if weight.kind == "embedding"]
    trained = sum(weight.count for weight in outputs if weight.trained)
    exact = estimate.precision == "fp32"
    if one_pass or (one_pass is None and not trained):
        logits, of_output = _of_one_pass(made, chunk_size), (4 if exact else 6) * trained
    else:
        logits, of_output = 12.0 * _rows(made, chunk_size, _CHUNK) * made.vocabulary, 8 * trained
    hidden = (8 if exact else 4) * estimate.hidden_size
    return made.plus("logits", Memory(logits + of_output, hidden, ("forward",), "activations"))


def _of_one_pass(made: Estimate, chunk_size: int) -> float:
    """Bytes of a chunk of logits and what is computed beside it."""
    own = 4 if made.precision == "fp32" else 2
    on_cpu = made.machine.device == "cpu"
    most = _rows(made, chunk_size, _CHUNK_ON_CPU if on_cpu else _CHUNK)
    alike = math.ceil(made.tokens / math.ceil(made.tokens / most)) if made.tokens and not chunk_size else most
    numbers = alike * made.vocabulary
    beside = 12 * min(numbers, max(_BLOCK_ON_CPU, made.vocabulary)) if on_cpu else 4 * numbers
    return float(own * numbers + beside)


def _rows(made: Estimate, chunk_size: int, numbers: int) -> int:
    """Trained tokens of a chunk, at most."""
    return min(made.tokens, chunk_size or max(numbers // made.vocabulary, 1)) or 1


def estimate_answers(estimate: Estimate, max_length: int, chunk_size: int, sequences: int) -> Estimate:
    """The same for a loss of answers.

    Args:
        sequences: answers of a row, all of which are in the batch.
    """
    rows = replace(estimate, sequences=sequences * estimate.sequences, per_example=sequences)
    return estimate_token_loss(rows, max_length, chunk_size)


def with_second_model(estimate: Estimate) -> Estimate:
    """Add a frozen model like the one that is trained, to compare with: no weight is wider than the embeddings' are."""
    embeddings = [weight.bits for weight in estimate.weights if weight.kind == "embedding"]
    if not embeddings:
        return estimate
    size = sum(weight.count * min(weight.bits, *embeddings) / 8 for weight in estimate.weights)
    return estimate.plus("reference model", Memory(size, of="weights"))
