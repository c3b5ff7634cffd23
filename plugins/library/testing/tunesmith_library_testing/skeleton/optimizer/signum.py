"""The update rule: m ← β m + (1 - β) g,  w ← w - lr (sign(m) + λ w)."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class Signum(torch.optim.Optimizer):
    """Sign momentum with decoupled weight decay.

    Args:
        params: the weights.
        lr: step of every weight.
        momentum: β.
        weight_decay: λ.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.9, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Take one step; `closure` computes the loss anew, as torch's optimizers allow."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(weight)
                direction = state["momentum"].lerp_(weight.grad, 1 - group["momentum"]).sign()
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.add_(direction, alpha=-group["lr"])
        return loss
