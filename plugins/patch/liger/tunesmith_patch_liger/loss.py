"""The cross entropy of an output layer by Liger's kernel, as `tunesmith_library_training.token_loss.fused` calls it."""

from __future__ import annotations

import torch
from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy


def linear_cross_entropy(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    labels: torch.Tensor,
    weights: torch.Tensor | None,
    softcap: float | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Σ_k w_k · -log softmax(softcap(hidden_k · weightᵀ + bias))[label_k], whose logits never exist at once.

    Args:
        hidden: (K, H); weight: (V, H); bias: (V,).
        labels: int64 (K,), -100 where not trained.
        weights: w, fp32 (K,); without them w = 1, and the gradients are computed along with the loss. With them the
            logits are computed again in the backward pass.
        softcap: c of c·tanh(logit/c).

    Returns: scalar fp32, differentiable in `hidden`, `weight` and `bias`; the likeliest labels, int64 (K,), -1 where
        not trained.
    """
    trained = weight.requires_grad or (bias is not None and bias.requires_grad)
    if trained and torch.is_grad_enabled() and not hidden.requires_grad:
        hidden = hidden.detach().requires_grad_()  # Liger gives the weight a gradient only beside that of its input
    output = liger_fused_linear_cross_entropy(
        hidden,
        weight,
        labels,
        bias,
        reduction="sum" if weights is None else "none",
        softcap=softcap,
        accum_dtype=torch.float32,
        return_predicted_tokens=True,
    )
    loss = output.loss if weights is None else (output.loss * weights).sum()
    return loss, output.predicted_tokens
