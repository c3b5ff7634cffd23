"""KTO's losses of single answers, tensors in, tensors out; r(y) = log π(y|x) − log π_ref(y|x), σ the sigmoid."""

from __future__ import annotations

import torch
from tunesmith_library_training import processes


def kto(ratios: torch.Tensor, desirable: torch.Tensor, beta: float, baseline: torch.Tensor) -> torch.Tensor:
    """1 − σ(β (r − z₀)) for a desirable answer, 1 − σ(β (z₀ − r)) for an undesirable one.

    Ethayarajh et al. 2024 (arXiv 2402.01306), section 4.

    Args:
        ratios: r of the answers, (B,) fp32; desirable: (B,) bool.
        baseline: z₀, scalar.

    Returns: (B,).
    """
    gains = torch.where(desirable, ratios - baseline, baseline - ratios)
    return 1 - torch.sigmoid(beta * gains)


def mean_over_processes(values: torch.Tensor, counted: torch.Tensor) -> torch.Tensor:
    """The mean of those values (n,) of all processes that are `counted` (n,), bool; 0 where none is."""
    sums = torch.stack([values.masked_fill(~counted, 0.0).sum(), counted.sum().to(values.dtype)])
    total, number = processes.total(sums)
    mean: torch.Tensor = total / number.clamp(min=1)
    return mean
