"""The odds-ratio loss, tensors in, tensors out."""

from __future__ import annotations

import torch
import torch.nn.functional as F

_LARGEST = -1e-6  # a mean log-probability of 0 would have infinite odds


def log_odds(log_probs: torch.Tensor) -> torch.Tensor:
    """log(p / (1 − p)) of log p: (…) fp32, below 0; Hong et al. 2024 (arXiv 2403.07691), equation 4."""
    log_probs = log_probs.clamp(max=_LARGEST)
    return log_probs - torch.log(-torch.expm1(log_probs))


def odds_ratio_loss(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
    """−log σ(log odds(y_w|x) − log odds(y_l|x)), equation 7 of the paper.

    Args:
        chosen, rejected: mean log-probabilities of the answers' tokens, (P,).

    Returns: (P,).
    """
    return -F.logsigmoid(log_odds(chosen) - log_odds(rejected))
