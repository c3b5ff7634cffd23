"""What training all weights costs; without torch."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith_library_estimates.changes import Change
from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_estimates.training import is_of, trained_only
from tunesmith_library_weights.patterns import matches_any

_BITS = {"float32": 32.0, "bfloat16": 16.0, "auto": None}


def estimate_full(estimate: Estimate, freeze: Sequence[str], dtype: str, towers: Sequence[str]) -> Estimate:
    """Train all weights of some parts of a model but those that a pattern freezes."""
    own = [weight for weight in estimate.weights if is_of(weight, towers)]
    chosen = [weight.name for weight in own if not matches_any(weight.name, freeze)]
    made = trained_only(estimate, dict.fromkeys(chosen, _BITS[dtype]))
    if dtype != "float32" or estimate.precision == "fp32":
        return made
    narrow = Change(("adapter.dtype=bfloat16",), "exactness", "weights of 8 bits' precision, which loses small steps")
    return made.offering(narrow)
