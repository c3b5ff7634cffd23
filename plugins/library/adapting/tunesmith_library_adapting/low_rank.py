"""y = x Wᵀ + s (x Aᵀ) Bᵀ and its gradients in few passes over what has a row per token.

Autograd's own way reads or writes tensors of tokens × width some ten times more than the products need, in copies to
the type of A, in two sums and in their backward passes. Here the thin matrices are cast instead, sums are taken within
the products, and what is as thin as the rank lies as (R, N), in which products on CPUs are up to four times as fast as
in (N, R). Formulas: Hu et al. 2021 (arXiv 2106.09685), section 4.1.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def linear(
    x: Tensor, weight: Tensor, bias: Tensor | None, first: Tensor, second: Tensor, scale: float, dtype: torch.dtype
) -> Tensor:
    """A frozen linear layer with what a low-rank adapter adds.

    Args:
        x: (…, in).
        weight: W (out, in); it and `bias` (out,) get no gradients.
        first: A (R, in).
        second: B (out, R).
        scale: s, alpha / rank.
        dtype: in which all is computed; A and B get gradients of their own type.

    Returns: (…, out), of `dtype`.
    """
    result: Tensor = _Linear.apply(  # type: ignore[no-untyped-call]  # torch does not annotate it
        x, weight, bias, first, second, scale, dtype
    )
    return result


def added(base: Tensor, x: Tensor, first: Tensor, second: Tensor, scale: float, dtype: torch.dtype) -> Tensor:
    """What a layer computes, plus what a low-rank adapter adds.

    Args:
        base: (…, out), the layer's; it is not changed.
        x: (…, in), with dropout where there is some.
        first, second, scale, dtype: as in `linear`.

    Returns: (…, out), of the type of `base`.
    """
    result: Tensor = _Added.apply(  # type: ignore[no-untyped-call]  # torch does not annotate it
        base, x, first, second, scale, dtype
    )
    return result


def rows_of(x: Tensor, dtype: torch.dtype) -> Tensor:
    """(…, width) as (N, width)."""
    return x.reshape(-1, x.shape[-1]).to(dtype)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        first: Tensor,
        second: Tensor,
        scale: float,
        dtype: torch.dtype,
    ) -> Tensor:
        rows = rows_of(x, dtype)
        inner = (first * scale).to(dtype) @ rows.T  # (R, N)
        result = F.linear(rows, weight.to(dtype), None if bias is None else bias.to(dtype))
        result.addmm_(inner.T, second.to(dtype).T)
        ctx.save_for_backward(rows, inner, weight, first, second)
        ctx.scale, ctx.shape, ctx.dtype = scale, x.shape, x.dtype
        return result.view(*x.shape[:-1], result.shape[-1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Any, ...]:
        rows, inner, weight, first, second = ctx.saved_tensors
        outer = outer.reshape(-1, outer.shape[-1])
        thin = _Thin(outer, rows, inner, first, second, ctx.scale)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = (outer @ weight.to(outer.dtype)).addmm_(thin.of_inner.T, thin.first)
            of_x = of_x.view(ctx.shape).to(ctx.dtype)
        return of_x, None, None, thin.of_first(ctx.needs_input_grad[3]), thin.of_second(ctx.needs_input_grad[4]), *_REST


class _Added(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, base: Tensor, x: Tensor, first: Tensor, second: Tensor, scale: float, dtype: torch.dtype
    ) -> Tensor:
        rows = rows_of(x, dtype)
        inner = (first * scale).to(dtype) @ rows.T
        flat, narrow = base.reshape(-1, base.shape[-1]), second.to(dtype)
        result = torch.addmm(flat, inner.T, narrow.T) if flat.dtype == dtype else flat + (inner.T @ narrow.T)
        ctx.save_for_backward(rows, inner, first, second)
        ctx.scale, ctx.shape, ctx.dtype = scale, x.shape, x.dtype
        return result.to(base.dtype).view(base.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Any, ...]:
        rows, inner, first, second = ctx.saved_tensors
        thin = _Thin(rows_of(outer, rows.dtype), rows, inner, first, second, ctx.scale)
        of_x = None
        if ctx.needs_input_grad[1]:
            of_x = (thin.of_inner.T @ thin.first).view(ctx.shape).to(ctx.dtype)
        return outer, of_x, thin.of_first(ctx.needs_input_grad[2]), thin.of_second(ctx.needs_input_grad[3]), *_REST


_REST = (None, None)  # scale and dtype have no gradients


class _Thin:
    """The gradients of the thin matrices, from that of the result, (N, out)."""

    def __init__(self, outer: Tensor, rows: Tensor, inner: Tensor, first: Tensor, second: Tensor, scale: float) -> None:
        self._outer, self._rows, self._inner, self._scale = outer, rows, inner, scale
        self._types = first.dtype, second.dtype
        self.first = (first * scale).to(outer.dtype)
        self.of_inner = second.to(outer.dtype).T @ outer.T  # (R, N)

    def of_first(self, wanted: bool) -> Tensor | None:
        return (self.of_inner @ self._rows).to(self._types[0]).mul_(self._scale) if wanted else None

    def of_second(self, wanted: bool) -> Tensor | None:
        return (self._inner @ self._outer).T.to(self._types[1]) if wanted else None
