"""APOLLO's update: W ← W - η √α · G S, with S from AdamW on a random projection of G (arXiv 2412.05270, alg. 1)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from tunesmith_library_optimizing.per_weight import PerWeight, adam_direction

GROWTH = 1.01  # γ: largest growth of an update's norm from one step to the next (Fira, arXiv 2410.01623)


class ApolloAdamW(PerWeight):
    """AdamW; groups that carry `rank`, `update_proj_gap`, `scale` and `scale_type` are projected.

    The state of a projected weight (m, n), m ≤ n, is two moments (r, n) and the norm of its last update: 2nr + 1
    numbers (table 1). The projection is drawn anew in each step from a seed that follows from weight and step; with
    `proj` svd it is kept, rm numbers more. Of fused experts (E, m, n) each has a projection and a norm of its own.
    """

    def __init__(self, groups: list[dict[str, Any]], defaults: dict[str, Any]) -> None:
        super().__init__(groups, defaults)
        weights = (weight for group in self.param_groups for weight in group["params"])
        self._numbers = {weight: number for number, weight in enumerate(weights, 1)}

    def _update(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        self.state[weight]["number"] = self._numbers[weight]
        super()._update(weight, gradient, group)

    def update(self, weight: Tensor, gradient: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        step = state.get("step", 0)  # steps taken before this one
        state["step"] = step + 1
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        if "rank" not in group:
            direction = adam_direction(gradient, state, group["betas"], group["eps"])
            weight.add_(direction, alpha=-group["lr"])
            return
        small = self._projected(gradient, group, state, step)
        direction = adam_direction(small, state, group["betas"], group["eps"])
        # The limiter compares updates before Adam's bias correction, as the authors' code does.
        beta1, beta2 = group["betas"]
        correction = (1 - beta2 ** state["step"]) ** 0.5 / (1 - beta1 ** state["step"])
        factors = step_sizes(small, direction, group["scale_type"]) / correction
        scaled, state["norm"] = limit_growth(gradient * factors, state.get("norm"))
        weight.add_(scaled, alpha=-group["lr"] * correction * group["scale"] ** 0.5)

    def _projected(self, gradient: Tensor, group: dict[str, Any], state: dict[str, Any], step: int) -> Tensor:
        """The gradient in the subspace of this step."""
        period = step // group["update_proj_gap"]
        if group.get("proj", "random") == "random":
            return random_projection(gradient, group["rank"], seed_of(state["number"], period))
        if step % group["update_proj_gap"] == 0 or "projection" not in state:
            state["projection"] = singular_vectors(gradient, group["rank"])
        return project(gradient, state["projection"])


def seed_of(number: int, period: int) -> int:
    """The seed of the `number`-th weight's projection in a period of `update_proj_gap` steps."""
    return number + 1_000_003 * period


def random_projection(gradient: Tensor, rank: int, seed: int) -> Tensor:
    """The smaller side of a gradient (…, m, n) projected by a Gaussian matrix of variance 1 / rank.

    Returns: (…, rank, n) when m < n, else (…, m, rank).
    """
    *experts, rows, columns = gradient.shape
    wide = rows < columns
    shape = (*experts, rows, rank) if wide else (*experts, rank, columns)
    generator = torch.Generator(gradient.device).manual_seed(seed)
    matrix: Tensor = torch.randn(shape, generator=generator, device=gradient.device, dtype=gradient.dtype) / rank**0.5
    return project(gradient, matrix)


def singular_vectors(gradient: Tensor, rank: int) -> Tensor:
    """The first singular vectors of the smaller side of a gradient (…, m, n).

    Returns: (…, m, rank) when m < n, else (…, rank, n).
    """
    left, _, right = torch.linalg.svd(gradient.float(), full_matrices=False)
    wide = gradient.shape[-2] < gradient.shape[-1]
    vectors: Tensor = left[..., :rank] if wide else right[..., :rank, :]
    return vectors.to(gradient.dtype).contiguous()


def project(gradient: Tensor, matrix: Tensor) -> Tensor:
    """A gradient (…, m, n) on a matrix (…, m, rank) of its left side when m < n, else (…, rank, n) of its right one."""
    small: Tensor = matrix.mT @ gradient if gradient.shape[-2] < gradient.shape[-1] else gradient @ matrix.mT
    return small


def step_sizes(small: Tensor, direction: Tensor, scale_type: str) -> Tensor:
    """How much longer Adam's direction is than the projected gradient, per channel or for the matrix (alg. 1, step 3).

    Returns: (…, 1, n) or (…, m, 1) to multiply the whole gradient with; for `tensor` a scalar, (E, 1, 1) of experts.
    """
    if scale_type == "tensor":
        whole: Tensor = length(direction) / (length(small) + 1e-8)
        return whole
    channel = -2 if small.shape[-2] < small.shape[-1] else -1
    each: Tensor = direction.norm(dim=channel, keepdim=True) / (small.norm(dim=channel, keepdim=True) + 1e-8)
    return each


def limit_growth(update: Tensor, last_norm: Tensor | None) -> tuple[Tensor, Tensor]:
    """Shorten an update to `GROWTH` times the norm of the last one, if it is longer; its norm is returned too.

    A step without gradient, as of an expert that no token met, is none to grow from: the norm before it stays.
    """
    norm = length(update)
    if last_norm is None:
        return update, norm
    excess = (norm / (last_norm + 1e-8)).clamp(min=GROWTH) / GROWTH
    excess = torch.where(last_norm > 0, excess, 1.0)
    return update / excess, torch.where(norm > 0, norm / excess, last_norm)


def length(matrices: Tensor) -> Tensor:
    """The norm of a matrix, a scalar; of each of several, (E, 1, 1)."""
    norm: Tensor = torch.linalg.matrix_norm(matrices, keepdim=True) if matrices.ndim > 2 else matrices.norm()
    return norm
