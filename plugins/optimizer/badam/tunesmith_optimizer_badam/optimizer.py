"""AdamW on the block whose turn it is (arXiv 2404.02827, algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .blocks import Order, share_of


class BlockAdamW(torch.optim.Optimizer):
    """AdamW whose groups carry `block`, or `shares` and `mask_mode`; the others of their kind wait.

    In a block that is not in float32 the state holds a float32 copy of the weights. When the block changes, the state
    is dropped. Groups count the steps (`steps`), from which the order of the blocks follows.
    """

    def __init__(self, groups: list[dict[str, Any]], defaults: dict[str, Any], order: Order) -> None:
        super().__init__(groups, {**defaults, "steps": 0})
        self.order = order
        self._activate()

    @property
    def active(self) -> int:
        """The block that the next step trains."""
        return self.order.at(self.param_groups[0]["steps"])

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        active = self.active
        for group in self.param_groups:
            group["steps"] += 1
            if group.get("block", active) == active:
                for weight in group["params"]:
                    if weight.grad is not None:
                        self._update(weight, weight.grad, group, active)
        if self.active != active:
            self.state.clear()
            self._activate()
        return loss

    def _update(self, weight: Tensor, gradient: Tensor, group: dict[str, Any], active: int) -> None:
        shares = group.get("shares", 1)
        part = share_of(weight.numel(), active % shares, shares, group.get("mask_mode", "adjacent"))
        chosen = weight.view(-1)[part]
        state = self.state[weight]
        if weight.dtype == torch.float32:
            adamw(chosen, gradient.reshape(-1)[part], state, group)
            return
        if "master" not in state:
            state["master"] = chosen.float()
        adamw(state["master"], gradient.reshape(-1)[part].float(), state, group)
        chosen.copy_(state["master"])

    def _activate(self) -> None:
        """Let backward passes compute the gradients of the active block only."""
        active = self.active
        for group in self.param_groups:
            for weight in group["params"]:
                weight.requires_grad_(group.get("block", active) == active)
                if not weight.requires_grad:
                    weight.grad = None

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state as it was saved: torch would round the float32 copies to the weights' numbers."""
        super().load_state_dict(state_dict)
        weights = [weight for group in self.param_groups for weight in group["params"]]
        for number, saved in state_dict["state"].items():
            weight = weights[number]
            self.state[weight] = {
                name: value.to(weight.device) if isinstance(value, Tensor) else value for name, value in saved.items()
            }
        self._activate()


def adamw(weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    """One step of AdamW in place, Loshchilov & Hutter 2017 (arXiv 1711.05101), algorithm 2.

    Args:
        weight, gradient: float32, of one shape.
        state: is filled and changed: `step`, `exp_avg`, `exp_avg_sq`.
        group: `lr`, `betas`, `eps`, `weight_decay`.
    """
    if "step" not in state:
        state.update(step=0, exp_avg=torch.zeros_like(gradient), exp_avg_sq=torch.zeros_like(gradient))
    beta1, beta2 = group["betas"]
    state["step"] += 1
    mean = state["exp_avg"].lerp_(gradient, 1 - beta1)
    square = state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    denominator = (square / (1 - beta2 ** state["step"])).sqrt_().add_(group["eps"])
    weight.mul_(1 - group["lr"] * group["weight_decay"])
    weight.addcdiv_(mean, denominator, value=-group["lr"] / (1 - beta1 ** state["step"]))
