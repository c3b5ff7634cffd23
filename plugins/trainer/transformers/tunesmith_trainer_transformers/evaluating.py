"""What an evaluation takes of memory, which keeps nothing for a backward pass; without torch.

One layer's tensors are there at a time. It matters where batches of an evaluation are larger than those that are
trained: weights, optimizer states and what a reference needs are there in both.
"""

from __future__ import annotations

from tunesmith_library_estimates.activations import layer_of
from tunesmith_library_estimates.estimation import Estimate, Memory
from tunesmith_library_estimates.training import OF_EVALUATION

_LOGITS = 2**25  # at a time, as in the losses of tokens


def of_evaluation(estimate: Estimate, tokens: int) -> float:
    """Bytes that a forward pass of so many tokens needs beside the model, at most.

    Of each token the stream and its normed copy, and three of a layer's widest tensor: a gate, the other branch, and
    their product; then the logits of a chunk, in the computed numbers and in float32. Of weights that are computed in
    other numbers copies: under autocast of all that are trained, else of one at a time.
    """
    computed = 4 if estimate.precision == "fp32" else 2
    widest = 0
    for weight in estimate.weights:
        if weight.kind in ("linear", "experts") and layer_of(weight) is not None:
            met = estimate.experts_per_token if weight.kind == "experts" else 1
            widest = max(widest, met * max(weight.shape[-2:]))
    stream = max((weight.bits / 8 for weight in estimate.weights if weight.kind == "embedding"), default=2.0)
    of_token = 3 * computed * widest + 4 * max(stream, computed) * estimate.hidden_size
    logits = (computed + 4) * min(tokens * estimate.vocabulary, _LOGITS)
    other = [weight.count for weight in estimate.weights if weight.is_matrix and weight.bits != 8 * computed]
    copies = estimate.memory.get("weights in 16 bits", Memory()).bytes or computed * max(other, default=0)
    return max(of_token * tokens, logits) + copies


def with_evaluation(estimate: Estimate, size: int, max_length: int) -> Estimate:
    """The estimate with the passes of its evaluations, where more examples go through there than in training.

    Args:
        size: examples of a batch.
        max_length: tokens of an example, at most.
    """
    size = min(size, estimate.data.held_out or size)
    if not estimate.pauses.evaluations or size <= estimate.sequences:
        return estimate
    longest = estimate.data.longest_together(size, max_length, estimate.per_example)
    known = len(longest) * longest[0] if longest and estimate.padded else sum(longest)
    tokens = known or size * max_length
    return estimate.plus(OF_EVALUATION, Memory(of_evaluation(estimate, tokens), phases=("generate",), of="activations"))
