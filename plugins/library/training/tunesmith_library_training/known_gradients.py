"""Losses whose gradients are known before the backward pass: it multiplies them by what comes back, and no more."""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable


class WithGradients(torch.autograd.Function):
    """A scalar whose gradients are known already."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor, gradients: list[torch.Tensor], *inputs: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(*gradients)
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return None, None, *(_times(gradient, outer.reshape(1)) for gradient in ctx.saved_tensors)


class WithRowGradients(torch.autograd.Function):
    """Values (K,) whose gradients in their own rows (K, H) are known already."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, gradients: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(gradients)
        return values.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradients,) = ctx.saved_tensors
        return None, None, _times(gradients, outer[:, None])


def _times(gradient: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """A gradient times what comes back, which is not rounded to the gradient's type before: it would scale them all."""
    return torch.mul(gradient, factors, out=torch.empty_like(gradient))
