"""What the anchor takes beside the stage's own loss: the reference, its hidden states, and a chunk of its logits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tunesmith_library_estimates.estimation import Estimate, Memory
from tunesmith_library_training.reference_costs import ReferenceCosts

if TYPE_CHECKING:
    from tunesmith.planning import Plan

    from tunesmith_loss_asft import AnchoredFineTuning

_CHUNK = 2**25  # logits at a time, as in `head`
# Bytes for each logit of a chunk beside those of a token loss: the reference's log-probabilities, both of whose
# exponentials and differences the divergence takes in float32
_BESIDE = 14


def estimate_reference(options: AnchoredFineTuning, estimate: Estimate, plan: Plan) -> Estimate:
    """Add the reference and what is compared with it."""
    made = ReferenceCosts(options.reference, options.reference_adapter).add(estimate, plan)
    if not made.vocabulary:
        return made
    chunk = int(plan.get("stage.loss_chunk_size") or 0) or max(_CHUNK // made.vocabulary, 1)
    logits = _BESIDE * (min(chunk, made.tokens) or chunk) * made.vocabulary
    hidden = made.hidden_size * (4 if made.precision == "fp32" else 2)
    return made.plus("logits of the reference", Memory(logits, hidden, ("forward",), "activations"))
