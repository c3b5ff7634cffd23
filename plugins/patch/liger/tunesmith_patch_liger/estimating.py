"""What layers with Liger's kernels keep less for the backward pass; without torch."""

from __future__ import annotations

from dataclasses import replace

from tunesmith_library_estimates.estimation import Estimate
from tunesmith_library_estimates.kept import Numbers


def estimate_kernels(estimate: Estimate, *, norms: bool, gates: bool) -> Estimate:
    """Take off what the kernels do not keep: float32 copies at norms, and the activation of a gate.

    A norm keeps its input as it comes and a number of each token; a gated network what comes out of its two branches,
    and computes the rest again.
    """
    numbers, keeping = Numbers.of(estimate), dict(estimate.keeping)
    for weight in estimate.weights:
        name = weight.name.removesuffix(".weight")
        if norms and weight.kind == "norm" and weight.shape[-1] == estimate.hidden_size:
            usual = 4 + (numbers.stream if weight.trained else 0)
            keeping[name] = keeping.get(name, 0.0) - weight.shape[-1] * max(usual - numbers.stream, 0)
        elif gates and name.endswith((".gate_proj", ".gate_up_proj")) and weight.kind == "linear":
            width = weight.shape[0] / (2 if name.endswith("gate_up_proj") else 1)
            keeping[name] = keeping.get(name, 0.0) - numbers.computed * width
    return replace(estimate, keeping=keeping)
