"""What stages of token losses cost: the length of their sequences, and the logits of a chunk. Without torch."""

from __future__ import annotations

from dataclasses import replace

from tunesmith_library_estimates.estimation import Estimate, Memory

_CHUNK_NUMBERS = 2**25  # logits at a time, as in `head`


def estimate_token_loss(estimate: Estimate, max_length: int, chunk_size: int) -> Estimate:
    """Set the length, and add what exists where the loss is computed.

    Of each logit of a chunk its log-probability and, twice, its gradient, in float32; the hidden states and their
    gradient; and of an output layer that is trained the gradient of all chunks and of one.

    Args:
        chunk_size: trained tokens at a time; 0 is as many as fit 128 MiB.
    """
    made = replace(estimate, length=max_length)
    if not estimate.vocabulary:
        return made
    tokens = min(made.tokens, chunk_size or max(_CHUNK_NUMBERS // estimate.vocabulary, 1))
    outputs = [weight for weight in estimate.weights if weight.kind == "head"]
    outputs = outputs or [weight for weight in estimate.weights if weight.kind == "embedding"]
    of_output = 8 * sum(weight.count for weight in outputs if weight.trained)
    hidden = (8 if estimate.precision == "fp32" else 4) * estimate.hidden_size
    return made.plus("logits", Memory(12 * tokens * estimate.vocabulary + of_output, hidden, ("forward",)))


def estimate_answers(estimate: Estimate, max_length: int, chunk_size: int, sequences: int) -> Estimate:
    """The same for a loss of answers.

    Args:
        sequences: answers of a row, all of which are in the batch.
    """
    rows = replace(estimate, sequences=sequences * estimate.sequences)
    return estimate_token_loss(rows, max_length, chunk_size)


def with_second_model(estimate: Estimate) -> Estimate:
    """Add a frozen model like the one that is trained, to compare with: no weight is wider than the embeddings' are."""
    embeddings = [weight.bits for weight in estimate.weights if weight.kind == "embedding"]
    if not embeddings:
        return estimate
    size = sum(weight.count * min(weight.bits, *embeddings) / 8 for weight in estimate.weights)
    return estimate.plus("reference model", Memory(size))
