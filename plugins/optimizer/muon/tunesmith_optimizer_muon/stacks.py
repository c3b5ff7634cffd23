"""Muon for weights that are many matrices in one tensor, as those of fused experts: each is made orthogonal by itself.

torch's Muon takes matrices alone. This one does the same to every matrix of a batch: with momentum B ← μ B + (1 - μ) G
the update is O(G + μ (B - G)) of Nesterov's form, O being five Newton-Schulz iterations in bfloat16 (Jordan et al.
2024), scaled by the sizes of one matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from tunesmith_library_optimizing.stacks import Matrices

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # Jordan's, steepest at zero
_EPSILON = 1e-7


class StackedMuon(torch.optim.Optimizer):
    """Muon over stacks of matrices."""

    def __init__(self, weights: Sequence[Tensor], views: Mapping[int, Matrices], scaling: str, **options: Any) -> None:
        """Args:
        views: how to see the matrices of each weight, by its identity.
        scaling: `match_rms_adamw` or `original`.
        options: `lr`, `weight_decay`, `momentum`, `nesterov`, `ns_steps`, as in `torch.optim.Muon`.
        """
        super().__init__(weights, options)
        self.views, self.scaling = dict(views), scaling

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, group)
        return loss

    def _update(self, weight: Tensor, group: dict[str, Any]) -> None:
        state, view = self.state[weight], self.views[id(weight)]
        gradient: Tensor = weight.grad  # type: ignore[assignment]  # the caller looked
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient, memory_format=torch.preserve_format)
        momentum = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        ahead = gradient.lerp(momentum, group["momentum"]) if group["nesterov"] else momentum
        direction = orthogonal(view(ahead), group["ns_steps"])
        rate = group["lr"] * factor(self.scaling, *direction.shape[-2:])
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        view(weight).add_(direction.to(weight.dtype), alpha=-rate)


def orthogonal(matrices: Tensor, steps: int) -> Tensor:
    """The Newton-Schulz iteration X ← a X + b (X Xᵀ) X + c (X Xᵀ)² X of each matrix: (N, out, in), bfloat16."""
    a, b, c = _COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = (matrices.mT if tall else matrices).bfloat16()
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=_EPSILON)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def factor(scaling: str, rows: int, columns: int) -> float:
    """What the learning rate is multiplied with: 0.2 √max(out, in), or √max(1, out / in)."""
    ratio = 0.04 * max(rows, columns) if scaling == "match_rms_adamw" else max(1.0, rows / columns)
    return float(ratio**0.5)
