"""What it costs a process that a batch's tokens are shared; without torch."""

from __future__ import annotations

from tunesmith_library_estimates.activations import layer_of
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_estimates.spreading import sharing_batches
from tunesmith_library_estimates.working import Work

_EXCHANGED = ("q_proj", "k_proj", "v_proj", "qkv_proj", "query_key_value")


def estimate_sharing(estimate: Estimate, method: str, size: int) -> Estimate:
    """A process has its share of the tokens, and exchanges queries, keys and values of all layers for the others'.

    Args:
        method: ulysses exchanges heads, and the result of attention back; ring passes keys and values around, and their
            gradients in float32 beside them.
        size: processes that share a batch.
    """
    if size == 1:
        return estimate
    made = sharing_batches(estimate, size)
    heads = [weight for weight in estimate.weights if layer_of(weight) is not None and _is_exchanged(weight.name)]
    queries = sum(weight.shape[0] for weight in heads if ".q_proj." in weight.name)
    every = sum(weight.shape[0] for weight in heads)
    number = 4 if estimate.precision == "fp32" else 2
    if method == "ring":
        keys = every - queries
        sent = float(keys * (size - 1) * (2 * number + 4))  # forward and backward, and the gradients
    else:
        sent = 2 * number * (every + queries) * (size - 1) / size
    return made.doing("attention's exchange among processes", Work(sent=sent / size, per="token"))


def _is_exchanged(name: str) -> bool:
    return name.endswith(".weight") and any(f".{part}." in name for part in _EXCHANGED)
