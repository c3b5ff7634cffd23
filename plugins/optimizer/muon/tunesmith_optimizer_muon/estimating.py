"""What Muon remembers; without torch."""

from __future__ import annotations

from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_estimates.training import optimizer_bytes


def estimate_muon(estimate: Estimate) -> Estimate:
    """One moment of each hidden matrix, two of every other weight."""

    def is_hidden(weight: Weight) -> bool:
        beside = ".lora_" in weight.name and len(weight.shape) == 2
        return weight.kind in ("linear", "experts") or beside

    own = {weight.name for weight in estimate.weights if weight.trained and is_hidden(weight)}
    made = optimizer_bytes(estimate, lambda weight: (1 if weight.name in own else 2) * weight.bytes)
    return made.updating("optimizer, muon", own)
