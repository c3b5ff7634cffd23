"""What stages of token losses cost: the length of their sequences, and the logits of a chunk. Without torch."""

from __future__ import annotations

from dataclasses import replace

from tunesmith.types import Estimate, Memory

_CHUNK_NUMBERS = 2**25  # logits at a time, as in `head`


def estimate_token_loss(estimate: Estimate, max_length: int, chunk_size: int) -> Estimate:
    """Set the length, and add the logits that exist at a time: in the precision, in float32, their logarithms of
    probabilities and their gradient.

    Args:
        chunk_size: trained tokens at a time; 0 is as many as fit 128 MiB.
    """
    made = replace(estimate, length=max_length)
    if not estimate.vocabulary:
        return made
    tokens = min(made.tokens, chunk_size or max(_CHUNK_NUMBERS // estimate.vocabulary, 1))
    each = 12 if estimate.precision == "fp32" else 16
    return made.plus("logits", Memory(each * tokens * estimate.vocabulary, phases=("forward",)))
