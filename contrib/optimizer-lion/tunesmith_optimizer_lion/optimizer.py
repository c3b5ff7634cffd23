"""Lion's update: c = β₁ m + (1 - β₁) g;  w ← w - η (sign(c) + λ w);  m ← β₂ m + (1 - β₂) g (algorithm 2)."""

from collections.abc import Callable
from typing import Any

import torch


class LionOptimizer(torch.optim.Optimizer):
    """Keeps one moment per weight, `exp_avg`."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = closure() if closure else None
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for weight in (weight for weight in group["params"] if weight.grad is not None):
                mean = self.state[weight].setdefault("exp_avg", torch.zeros_like(weight))
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(mean.lerp(weight.grad, 1 - beta1).sign_(), alpha=-group["lr"])
                mean.lerp_(weight.grad, 1 - beta2)
        return loss
