"""Adam-mini's update: v ← β₂ v + (1 - β₂) mean(g ⊙ g) over a block, the rest as in AdamW (arXiv 2406.16793, alg. 1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from tunesmith_library_optimizing.stacks import Matrices


class AdamMiniW(torch.optim.Optimizer):
    """AdamW whose groups carry `block_size`: so many consecutive numbers of a weight share a second moment.

    Of a stack of matrices, as of fused experts, they are consecutive in the view (N, out, in) that `views` has of it.
    """

    def __init__(
        self, groups: list[dict[str, Any]], defaults: dict[str, Any], views: Mapping[int, Matrices] | None = None
    ) -> None:
        super().__init__(groups, defaults)
        self.views = dict(views or {})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    view = self.views.get(id(weight), _as_it_is)
                    direction = block_direction(
                        view(weight.grad), self.state[weight], group["block_size"], group["betas"], group["eps"]
                    )
                    view(weight).add_(direction, alpha=-group["lr"])
        return loss


def _as_it_is(weight: Tensor) -> Tensor:
    return weight


def block_direction(
    gradient: Tensor, state: dict[str, Any], block_size: int, betas: tuple[float, float], eps: float
) -> Tensor:
    """m̂ / (√v̂ + ε) with one v per block.

    Args:
        gradient: any shape of N numbers, N a multiple of `block_size`.
        state: is filled and changed: `step`, `exp_avg` (like the gradient), `exp_avg_sq` (N / block_size, 1).
    """
    blocks = gradient.reshape(-1, block_size)
    if not state:
        state.update(
            step=0,
            exp_avg=torch.zeros_like(gradient, memory_format=torch.contiguous_format),
            exp_avg_sq=torch.zeros_like(blocks[:, :1]),
        )
    beta1, beta2 = betas
    state["step"] += 1
    mean: Tensor = state["exp_avg"].lerp_(gradient, 1 - beta1)
    square = state["exp_avg_sq"].lerp_(blocks.square().mean(1, keepdim=True), 1 - beta2)
    denominator = (square / (1 - beta2 ** state["step"])).sqrt_().add_(eps)
    direction: Tensor = mean.view(-1, block_size) / (1 - beta1 ** state["step"])
    return direction.div_(denominator).view_as(gradient)
