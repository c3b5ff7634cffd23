"""Optimizers that treat one weight after the other: in `step`, or each as soon as its gradient is there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from tunesmith.types import OptimizerSettings

from tunesmith_library_optimizing.groups import adam_defaults, by_decay


class PerWeight(torch.optim.Optimizer):
    """An optimizer whose subclass says how one weight is updated.

    Layer-wise updates (Lv et al. 2023, arXiv 2306.09782) run inside the backward pass, in torch's hooks behind the
    accumulation of each gradient, and free the gradient; `step` then finds nothing left to do. Learning rates,
    schedules and `state_dict` are the same in both forms.
    """

    def update(self, weight: Tensor, gradient: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        """Change `weight` in place; called without autograd.

        Args:
            weight: as the model has it; of a group with `transposed` its matrices the other way round, (…, out, in).
        """
        raise NotImplementedError

    def _update(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if group.get("transposed"):
            weight, gradient = weight.mT, gradient.mT
        self.update(weight, gradient, group, state)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, weight.grad, group)
        return loss

    def update_in_backward(self) -> None:
        """Update each weight as soon as a backward pass has its gradient, from now on."""
        for number, group in enumerate(self.param_groups):
            for weight in group["params"]:
                weight.register_post_accumulate_grad_hook(partial(self._update_and_free, number))

    @torch.no_grad()
    def _update_and_free(self, number: int, weight: Tensor) -> None:
        gradient = weight.grad
        assert gradient is not None, "the hook runs behind its accumulation"
        self._update(weight, gradient, self.param_groups[number])
        weight.grad = None


def adam_direction(gradient: Tensor, state: dict[str, Any], betas: tuple[float, float], eps: float) -> Tensor:
    """Adam's direction m̂ / (√v̂ + ε), Kingma & Ba 2014 (arXiv 1412.6980), algorithm 1.

    Args:
        gradient: any shape.
        state: `exp_avg` and `exp_avg_sq` of that shape, changed in place, and `step`, counted from 1.
    """
    if "exp_avg" not in state:
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(gradient), torch.zeros_like(gradient)
    beta1, beta2 = betas
    mean: Tensor = state["exp_avg"].lerp_(gradient, 1 - beta1)
    square = state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    denominator: Tensor = (square / (1 - beta2 ** state["step"])).sqrt_().add_(eps)
    direction: Tensor = mean / (1 - beta1 ** state["step"])
    return direction.div_(denominator)


Update = Callable[[Tensor, Tensor, dict[str, Any], dict[str, Any]], None]
"""`update(weight, gradient, group, state)`, see `PerWeight.update`."""


class _OfFunction(PerWeight):
    def __init__(self, groups: list[dict[str, Any]], defaults: dict[str, Any], function: Update) -> None:
        super().__init__(groups, defaults)
        self._function = function

    def update(self, weight: Tensor, gradient: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        self._function(weight, gradient, group, state)


def optimizer_of(model: torch.nn.Module, settings: OptimizerSettings, update: Update) -> PerWeight:
    """An optimizer of a model's trained weights, from a function that changes one weight in place.

    Args:
        update: called without autograd, with a group that has `lr`, `betas`, `eps` and `weight_decay`, which is 0 for
            vectors; what it keeps in `state` is in the optimizer's `state_dict`.
    """
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    return _OfFunction(by_decay(trained, settings.weight_decay), adam_defaults(settings), update)
