"""What share of a model OFT reaches; without torch. What it costs nobody has figured out yet."""

from __future__ import annotations

from collections.abc import Sequence

from tunesmith_library_estimates.estimation import Estimate, Weight
from tunesmith_library_weights.patterns import matches, matches_any


def estimate_oft(estimate: Estimate, include: Sequence[str] | str, exclude: Sequence[str]) -> Estimate:
    """Say which linear layers are adapted; fused experts are none."""
    patterns = [include] if isinstance(include, str) else list(include)

    def is_adapted(weight: Weight) -> bool:
        name = weight.name.removesuffix(".weight")
        fits = any(weight.kind == "linear" if asked == "all" else matches(name, asked) for asked in patterns)
        return weight.kind in ("linear", "head") and fits and not matches_any(name, exclude)

    names = {weight.name for weight in estimate.weights if is_adapted(weight)}
    return estimate.reaching("adapter, OFT", names).without("adapter.oft does not say what it costs")
