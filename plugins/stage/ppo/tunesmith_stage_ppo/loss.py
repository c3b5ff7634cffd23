"""The mathematics of PPO: tensors in, tensors out.

Shapes: (B, T) answers by tokens, fp32; `mask` (B, T) bool says which tokens belong to the answer. The tokens of an
answer stand together; what is outside the mask counts nowhere.

Where several processes hold parts of a batch, `total` sums a tensor over all of them, and `count` is the number of
tokens of all: a mean then is this process's part of the mean over all, and the parts add up to it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

Tensor = torch.Tensor
Total = Callable[[Tensor], Tensor]


def alone(values: Tensor) -> Tensor:
    """The sum over the processes of a run that has one."""
    return values


def masked_mean(values: Tensor, mask: Tensor, count: Tensor | None = None) -> Tensor:
    """Mean of the values under the mask; 0 when there are none. Scalar."""
    return values.masked_fill(~mask, 0.0).sum() / (mask.sum() if count is None else count).clamp(min=1)


def whiten(values: Tensor, mask: Tensor, shift_mean: bool = True, total: Total = alone) -> Tensor:
    """(x - mean) / (standard deviation + 1e-8) over all tokens under the mask; without shift the mean stays.

    The variance is the unbiased one. Returns (B, T), 0 outside the mask.
    """
    count = total(mask.sum())
    mean = total(masked_mean(values, mask, count))
    variance = total(((values - mean) ** 2).masked_fill(~mask, 0.0).sum()) / (count - 1).clamp(min=1)
    whitened = (values - mean) / (variance.sqrt() + 1e-8)
    return (whitened if shift_mean else whitened + mean).masked_fill(~mask, 0.0)


def token_rewards(
    scores: Tensor, log_probs: Tensor, reference_log_probs: Tensor | None, mask: Tensor, kl_coef: float
) -> Tensor:
    """r_t = -β (log π(a_t) - log π_ref(a_t)), and the score at the last token (arXiv 1909.08593, eq. 2).

    Args:
        scores: (B,), of the whole answers.

    Returns: (B, T), 0 outside the mask.
    """
    rewards = torch.zeros_like(log_probs)
    if reference_log_probs is not None:
        rewards = -kl_coef * (log_probs - reference_log_probs).masked_fill(~mask, 0.0)
    positions = torch.arange(mask.shape[1], device=mask.device)
    last = (positions * mask).argmax(dim=1)
    return rewards.scatter_add(1, last[:, None], scores[:, None] * mask.any(dim=1, keepdim=True))


def generalized_advantages(
    rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Generalized advantage estimation (arXiv 1506.02438, eq. 11 and 12; the answer's end has the value 0).

    δ_t = r_t + γ V_{t+1} - V_t,  A_t = δ_t + γ λ A_{t+1},  returns = A + V.

    Returns: advantages and returns, (B, T), 0 outside the mask.
    """
    values = values.masked_fill(~mask, 0.0)
    advantages = torch.zeros_like(values)
    following = next_value = torch.zeros_like(values[:, 0])
    for step in reversed(range(values.shape[1])):
        delta = rewards[:, step] + gamma * next_value - values[:, step]
        following = torch.where(mask[:, step], delta + gamma * lam * following, 0.0)
        advantages[:, step] = following
        next_value = values[:, step]
    return advantages, (advantages + values).masked_fill(~mask, 0.0)


def policy_loss(
    log_probs: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    clip_range: float,
    count: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """-min(ρ A, clip(ρ, 1 - ε, 1 + ε) A), ρ = π / π_old (arXiv 1707.06347, eq. 7), as a mean over tokens.

    Returns: the loss and the share of tokens at which the clipped term is the smaller one; scalars.
    """
    ratio = (log_probs - old_log_probs).masked_fill(~mask, 0.0).exp()
    plain, clipped = ratio * advantages, ratio.clamp(1 - clip_range, 1 + clip_range) * advantages
    share = masked_mean((clipped < plain).float(), mask, count)
    return -masked_mean(torch.minimum(plain, clipped), mask, count), share.detach()


def value_loss(
    values: Tensor,
    old_values: Tensor,
    returns: Tensor,
    mask: Tensor,
    clip_range: float,
    count: Tensor | None = None,
) -> Tensor:
    """½ max((V - R)², (clip(V, V_old ± ε) - R)²), as a mean over tokens; without clipping when ε is 0. Scalar."""
    squared = (values - returns) ** 2
    if clip_range:
        near = torch.clamp(values, old_values - clip_range, old_values + clip_range)
        squared = torch.maximum(squared, (near - returns) ** 2)
    return 0.5 * masked_mean(squared, mask, count)


def approximate_kl(log_probs: Tensor, old_log_probs: Tensor, mask: Tensor, count: Tensor | None = None) -> Tensor:
    """KL(π_old ‖ π) per token of answers drawn from π_old: the mean of ρ - 1 - log ρ.

    Unbiased and never negative (the estimator k3 of Schulman 2020, http://joschu.net/blog/kl-approx.html). Scalar.
    """
    log_ratio = (log_probs - old_log_probs).masked_fill(~mask, 0.0)
    return masked_mean(log_ratio.exp() - 1 - log_ratio, mask, count)


def adapted_kl_coef(coef: float, kl: float, target: float, count: int, horizon: float) -> float:
    """β ← β (1 + clip(KL / target - 1, ±0.2) · count / horizon) (arXiv 1909.08593, section 2.2).

    Args:
        kl: nats per answer, mean over the step; count: its answers.
    """
    error = min(max(kl / target - 1, -0.2), 0.2)
    return coef * (1 + error * count / horizon)
