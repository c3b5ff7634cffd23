"""GaLore's AdamW: W ← W - η · α · P ρ(Pᵀ G), with Adam's ρ and P from the SVD of a recent G (arXiv 2403.03507)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from tunesmith_library_optimizing.per_weight import PerWeight, adam_direction


class GaLoreAdamW(PerWeight):
    """AdamW; groups that carry `rank`, `update_proj_gap`, `scale` and `proj_type` are projected.

    The state of a projected weight (m, n), m ≤ n, is P (m, r) and two moments (r, n): mr + 2nr numbers instead of
    Adam's 2mn (table 1). The moments stay when the subspace changes, as in the paper. Of fused experts (E, m, n) each
    has a subspace of its own.
    """

    def update(self, weight: Tensor, gradient: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        step = state.get("step", 0)  # steps taken before this one
        state["step"] = step + 1
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        if "rank" not in group:
            direction = adam_direction(gradient, state, group["betas"], group["eps"])
            weight.add_(direction, alpha=-group["lr"])
            return
        if step % group["update_proj_gap"] == 0:
            sides = projected_sides(gradient.shape, group["proj_type"])
            state["left"], state["right"] = subspace(gradient, group["rank"], *sides)
        small = project(gradient, state["left"], state["right"])
        direction = adam_direction(small, state, group["betas"], group["eps"])
        direction = project_back(direction, state["left"], state["right"])
        weight.add_(direction, alpha=-group["lr"] * group["scale"])


def projected_sides(shape: torch.Size, proj_type: str) -> tuple[bool, bool]:
    """Whether the left (rows) and the right side (columns) of a matrix are projected."""
    if proj_type == "full":
        return True, True
    wide = shape[-2] < shape[-1]
    left = {"std": wide, "reverse_std": not wide, "left": True, "right": False}[proj_type]
    return left, not left


def subspace(gradient: Tensor, rank: int, left: bool, right: bool) -> tuple[Tensor | None, Tensor | None]:
    """The first singular vectors of a gradient (…, m, n): left (…, m, rank) and right (…, rank, n), None for a side
    not asked.

    They are copies: a view would keep all singular vectors in memory and in checkpoints.
    """
    u, _, vh = torch.linalg.svd(gradient.float(), full_matrices=False)
    return (
        u[..., :rank].to(gradient.dtype).clone(memory_format=torch.contiguous_format) if left else None,
        vh[..., :rank, :].to(gradient.dtype).clone(memory_format=torch.contiguous_format) if right else None,
    )


def project(gradient: Tensor, left: Tensor | None, right: Tensor | None) -> Tensor:
    """R = Pᵀ G, or G Qᵀ, or both."""
    small = gradient if left is None else left.mT @ gradient
    return small if right is None else small @ right.mT


def project_back(small: Tensor, left: Tensor | None, right: Tensor | None) -> Tensor:
    """G̃ = P R, or R Q, or both."""
    large = small if left is None else left @ small
    return large if right is None else large @ right
