"""The two searches of AWQ, both by the error of a layer's output on calibration data.

With H = E[x xᵀ] that error is E‖ΔW x‖² = tr(ΔW H ΔWᵀ), so that no activation needs to be kept (Lin et al. 2023, arXiv
2306.00978, equations 4 and 5; clipping as in section 5.1's implementation details).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tunesmith_library_quantizing.grid import Rounded, fit, round_to_nearest, rounded, to_grid

_EXPONENTS = 20  # α = 0, 1/20, …
_SHRINKS = 10  # 1, 0.95, …
_SMALLEST = 1e-4


def find_scale(
    weights: Sequence[torch.Tensor], hessian: torch.Tensor, magnitude: torch.Tensor, bits: int, group_size: int
) -> torch.Tensor:
    """The scale s = (E|x|)^α of an input's channels, α in [0, 1), with which the layers' outputs err least.

    Args:
        weights: (out, in), float32, of the layers that share the input.
        hessian: (in, in): E[x xᵀ].
        magnitude: (in,): E|x|.

    Returns: (in,), with √(max s · min s) ≈ 1, of values that bfloat16 has; α = 0, the scale 1, is among those tried.
    """
    best, least = torch.ones_like(magnitude), float("inf")
    for step in range(_EXPONENTS):
        scale = magnitude.pow(step / _EXPONENTS).clamp(min=_SMALLEST)
        scale = (scale / (scale.max() * scale.min()).sqrt()).bfloat16().float()
        error = 0.0
        for weight in weights:
            found = round_to_nearest(weight * scale, bits, group_size, sym=False).packed_weight() / scale
            error += output_error(found - weight, hessian).sum().item()
        if error < least:
            best, least = scale, error
    return best


def round_clipped(weight: torch.Tensor, hessian: torch.Tensor, bits: int, group_size: int) -> Rounded:
    """Round (out, in), float32, with the range of each group shrunk where its part of the output errs less then.

    A row in which that does not make the whole output's error smaller is rounded without clipping.
    """
    grouped = weight.unflatten(1, (-1, group_size))
    blocks = torch.stack(_diagonal_blocks(hessian, group_size))
    least = torch.full(grouped.shape[:2], float("inf"), device=weight.device)
    scales, zeros = torch.empty_like(least), torch.empty_like(least)
    for step in range(_SHRINKS):
        scale, zero = fit(grouped, bits, sym=False, shrink=1 - step / (2 * _SHRINKS))
        codes = to_grid(grouped, scale[..., None], zero[..., None], bits)
        error = scale[..., None] * (codes - zero[..., None]) - grouped
        found = torch.einsum("ogi,gij,ogj->og", error, blocks, error)
        better = found < least
        least, scales, zeros = (
            torch.where(better, new, old) for new, old in ((found, least), (scale, scales), (zero, zeros))
        )
    whole_scales, whole_zeros = fit(grouped, bits, sym=False)
    clipped, plain = (rounded(weight, *grid, bits) for grid in ((scales, zeros), (whole_scales, whole_zeros)))
    gains = output_error(clipped.packed_weight() - weight, hessian) < output_error(
        plain.packed_weight() - weight, hessian
    )
    gains = gains[:, None]
    return rounded(weight, torch.where(gains, scales, whole_scales), torch.where(gains, zeros, whole_zeros), bits)


def output_error(difference: torch.Tensor, hessian: torch.Tensor) -> torch.Tensor:
    """E(Δw x)² of each row Δw of (out, in); (out,)."""
    return ((difference @ hessian) * difference).sum(1)


def _diagonal_blocks(hessian: torch.Tensor, size: int) -> list[torch.Tensor]:
    return [hessian[start : start + size, start : start + size] for start in range(0, len(hessian), size)]
