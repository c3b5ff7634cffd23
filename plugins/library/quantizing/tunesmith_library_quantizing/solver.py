"""GPTQ: round a weight column by column, and let the columns that are not rounded yet make up for each error.

With inputs x of the training data and H = 2 E[x xᵀ], the error of the layer's output is tr(ΔW H ΔWᵀ) / 2. Rounding
column i with error e = (w_i - ŵ_i) / U_ii moves the later columns by -e U_i, where U is the upper Cholesky factor of
H⁻¹ (Frantar et al. 2022, arXiv 2210.17323, algorithm 1; blocks of 128 columns, step 2).
"""

from __future__ import annotations

import torch
from tunesmith import TunesmithError

from tunesmith_library_quantizing.grid import Rounded, fit, side_by_side, to_grid

_BLOCK = 128
_LARGEST_DAMPING = 10.0


def solve(
    weight: torch.Tensor,
    hessian: torch.Tensor,
    *,
    bits: int,
    group_size: int,
    sym: bool,
    desc_act: bool,
    damping: float,
    scale_dtype: torch.dtype = torch.float16,
) -> Rounded:
    """Round a weight (out, in), float32, so that its outputs change least.

    Args:
        hessian: (in, in), float32: E[x xᵀ] up to a factor.
        group_size: columns that share a grid, chosen when the first of them is reached.
        desc_act: take columns in falling order of their input's mean square, and cut groups from that order.
        damping: part of the mean diagonal of the Hessian that is added to the diagonal.
        scale_dtype: in which scales are stored.
    """
    columns = weight.shape[1]
    order = hessian.diagonal().argsort(descending=True) if desc_act else torch.arange(columns, device=weight.device)
    weight = weight[:, order].clone()
    factor = _inverse_factor(hessian[order][:, order], damping)
    codes, scales, zeros = torch.empty_like(weight), [], []
    for start in range(0, columns, _BLOCK):
        end = min(start + _BLOCK, columns)
        errors = torch.empty_like(weight[:, start:end])
        for i in range(start, end):
            if i % group_size == 0:
                scale, zero = fit(weight[:, i : i + group_size], bits, sym, scale_dtype=scale_dtype)
                scales.append(scale)
                zeros.append(zero)
            codes[:, i] = to_grid(weight[:, i], scale, zero, bits)
            error = (weight[:, i] - scale * (codes[:, i] - zero)) / factor[i, i]
            weight[:, i:end] -= error[:, None] * factor[i, i:end]
            errors[:, i - start] = error
        weight[:, end:] -= errors @ factor[start:end, end:]
    back = order.argsort()
    groups = side_by_side(columns, len(scales), weight)[back]
    return Rounded(codes[:, back].byte(), torch.stack(scales, 1).to(scale_dtype), torch.stack(zeros, 1).byte(), groups)


def _inverse_factor(hessian: torch.Tensor, damping: float) -> torch.Tensor:
    """The upper Cholesky factor U of the damped H⁻¹ = Uᵀ U; what is damped too little to be factored is damped more."""
    if not hessian.isfinite().all():
        raise TunesmithError("the activations are not finite: this model cannot be calibrated in these numbers.")
    hessian = hessian.clone()
    diagonal = hessian.diagonal()
    diagonal[diagonal == 0] = 1  # an input that is always 0: its column is rounded to nearest, and moves no other
    mean = diagonal.mean()
    while damping <= _LARGEST_DAMPING:
        damped = hessian + damping * mean * torch.eye(len(hessian), device=hessian.device)
        lower, failed = torch.linalg.cholesky_ex(damped)
        upper: torch.Tensor = lower
        if not failed:
            upper, failed = torch.linalg.cholesky_ex(torch.cholesky_inverse(lower), upper=True)
        if not failed:
            return upper
        damping *= 10
    raise TunesmithError("the activations span too few directions to calibrate with.\n  more samples of training data")
