"""What training all weights costs; without torch."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_estimates.training import trained_only
from tunesmith_library_weights.patterns import matches_any

_BITS = {"float32": 32.0, "bfloat16": 16.0, "auto": None}


def estimate_full(estimate: Estimate, freeze: Sequence[str], dtype: str) -> Estimate:
    """Train all weights but those that a pattern freezes."""
    chosen = [weight.name for weight in estimate.weights if not matches_any(weight.name, freeze)]
    return trained_only(estimate, dict.fromkeys(chosen, _BITS[dtype]))
