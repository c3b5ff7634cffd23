"""SimPO's and CPO's losses of a pair, tensors in, tensors out."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def margin_loss(
    chosen: torch.Tensor, rejected: torch.Tensor, *, beta: float, gamma: float = 0.0, label_smoothing: float = 0.0
) -> torch.Tensor:
    """−(1−ε) log σ(m) − ε log σ(−m) with m = β (s(y_w) − s(y_l)) − γ.

    SimPO (arXiv 2405.14734, equation 6): s is the mean log-probability of an answer's tokens. CPO (arXiv 2401.08417):
    s is their sum, and γ = 0.

    Args:
        chosen, rejected: s of the answers, (P,).
        label_smoothing: probability ε that a pair is the wrong way round.

    Returns: (P,).
    """
    margins = beta * (chosen - rejected) - gamma
    return -(1 - label_smoothing) * F.logsigmoid(margins) - label_smoothing * F.logsigmoid(-margins)
