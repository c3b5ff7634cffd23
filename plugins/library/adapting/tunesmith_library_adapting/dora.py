"""DoRA beside a frozen linear layer, y = m (W + s B A) x / |W + s B A| + b, without a matrix as large as W.

Liu et al. 2024, "DoRA: Weight-Decomposed Low-Rank Adaptation" (arXiv 2402.09353), equation 5, with the norms of the
rows taken as constants (section 4.3). |w + s b A|² = |w|² + 2 s (w Aᵀ) b + s² b (A Aᵀ) b for each row w of W, b of B.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from tunesmith_library_adapting.low_rank import rows_of

_PIECE = {"cpu": 2**17}  # numbers that are at once in float32: on CPUs as many as stay in the caches
_ON_ACCELERATORS = 2**26


def linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    first: Tensor,
    second: Tensor,
    magnitude: Tensor,
    scale: float,
    dtype: torch.dtype,
) -> Tensor:
    """A frozen linear layer with DoRA.

    Args:
        magnitude: m (out,).
        x, weight, bias, first, second, scale, dtype: as of `low_rank.linear`.

    Returns: (…, out), of `dtype`.
    """
    norms = norms_of(weight, first, second, scale)
    result: Tensor = _Linear.apply(  # type: ignore[no-untyped-call]  # torch does not annotate it
        x, weight, bias, first, second, magnitude, norms, scale, dtype
    )
    return result


@torch.no_grad()
def norms_of(weight: Tensor, first: Tensor, second: Tensor, scale: float) -> Tensor:
    """The norms of the rows of W + s B A, float32 (out,)."""
    with torch.autocast(weight.device.type, enabled=False):
        first, second = first.float(), second.float() * scale
        squares = torch.linalg.vector_norm(weight, dim=1, dtype=torch.float32).square()
        crossed = (first.to(weight.dtype) @ weight.T).T.float()  # (out, R)
        squares += ((2 * crossed + second @ (first @ first.T)) * second).sum(dim=1)
        norms: Tensor = squares.clamp_min(torch.finfo(torch.float32).tiny).sqrt()
        return norms


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        first: Tensor,
        second: Tensor,
        magnitude: Tensor,
        norms: Tensor,
        scale: float,
        dtype: torch.dtype,
    ) -> Tensor:
        rows = rows_of(x, dtype)
        base = rows @ weight.to(dtype).T  # (N, out)
        inner = (first * scale).to(dtype) @ rows.T  # (R, N)
        gains = magnitude.float() / norms
        result = torch.empty_like(base)
        with torch.autocast(x.device.type, enabled=False):
            for place in _pieces(base):
                wide = torch.addmm(base[place].float(), inner[:, place].T.float(), second.float().T).mul_(gains)
                result[place] = wide if bias is None else wide.add_(bias)
        ctx.save_for_backward(rows, inner, base, weight, first, second, gains, norms)
        ctx.scale, ctx.shape, ctx.dtype, ctx.kind = scale, x.shape, x.dtype, magnitude.dtype
        return result.view(*x.shape[:-1], result.shape[-1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Any, ...]:
        rows, inner, base, weight, first, second, gains, norms = ctx.saved_tensors
        outer = outer.reshape(-1, outer.shape[-1])
        of_base, of_gains = torch.empty_like(outer), torch.zeros_like(gains)
        for place in _pieces(outer):
            wide = outer[place].float()
            of_gains += (wide * base[place]).sum(dim=0)
            of_base[place] = wide * gains
        thin = (inner @ outer).T.float()  # (out, R)
        of_gains += (thin * second).sum(dim=1)
        of_inner = second.to(outer.dtype).T @ of_base.T
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = (of_base @ weight.to(outer.dtype)).addmm_(of_inner.T, (first * ctx.scale).to(outer.dtype))
            of_x = of_x.view(ctx.shape).to(ctx.dtype)
        of_first = (of_inner @ rows).to(first.dtype).mul_(ctx.scale)
        of_second = (thin * gains[:, None]).to(second.dtype)
        return of_x, None, None, of_first, of_second, (of_gains / norms).to(ctx.kind), None, None, None


def _pieces(rows: Tensor) -> Iterator[slice]:
    """Places of a part of the rows (N, width) at a time."""
    size = max(_PIECE.get(rows.device.type, _ON_ACCELERATORS) // max(rows.shape[-1], 1), 1)
    return (slice(start, start + size) for start in range(0, len(rows), size))
