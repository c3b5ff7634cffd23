"""Kernels for sequences of different lengths on CUDA: flash-attn's where it is installed, else torch's own.

Both are FlashAttention 2 (arXiv 2307.08691); flash-attn's also knows softcap and dropout.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Kernel:
    """A function that attends within each sequence of a row, and what it can compute.

    `function(query, key, value, cu_seq_lens, longest, causal=, scaling=, window=, dropout=, softcap=)`, with query
    (T, heads, D), key and value (T, key heads, D), and the rest as in `attend`, gives (T, heads, D).
    """

    name: str
    function: Callable[..., torch.Tensor]
    softcap: bool  # c·tanh(scores/c)
    dropout: bool  # of the attention weights
    device: str = "cuda"  # as torch names it
    dtypes: tuple[torch.dtype, ...] = (torch.bfloat16, torch.float16)
    widest: int = 256  # D at most; it is a multiple of 8


def of_flash_attn(varlen_func: Callable[..., Any], name: str = "flash_attn") -> Kernel:
    """The kernel of a `flash_attn_varlen_func`: of flash-attn 2, or of another build or version of it.

    What it can compute is read from its parameters: `softcap` is there from 2.6 on, `dropout_p` no more in 3.
    """
    known = inspect.signature(varlen_func).parameters

    def function(
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        cu_seq_lens: torch.Tensor,
        longest: int,
        *,
        causal: bool,
        scaling: float | None,
        window: int | None,
        dropout: float,
        softcap: float | None,
    ) -> torch.Tensor:
        bounds = {"cu_seqlens_q": cu_seq_lens, "cu_seqlens_k": cu_seq_lens}
        lengths = {"max_seqlen_q": longest, "max_seqlen_k": longest}
        special = {"dropout_p": dropout} if dropout else {}
        special |= {"softcap": softcap} if softcap is not None else {}
        # causal by itself bounds the window on the right
        sees = {"causal": causal, "window_size": (-1 if window is None else window - 1, -1)}
        given = varlen_func(query, key, value, **bounds, **lengths, softmax_scale=scaling, **sees, **special)
        out: torch.Tensor = given[0] if isinstance(given, tuple) else given  # version 3 also gives the softmax's sums
        return out

    return Kernel(name, function, softcap="softcap" in known, dropout="dropout_p" in known)


def of_torch(varlen_attn: Callable[..., Any], name: str = "torch") -> Kernel:
    """The kernel of `torch.nn.attention.varlen.varlen_attn`."""

    def function(
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        cu_seq_lens: torch.Tensor,
        longest: int,
        *,
        causal: bool,
        scaling: float | None,
        window: int | None,
        dropout: float,
        softcap: float | None,
    ) -> torch.Tensor:
        sees = (-1 if window is None else window - 1, 0 if causal else -1)
        grouped = query.shape[1] != key.shape[1]
        bounds = (cu_seq_lens, cu_seq_lens, longest, longest)
        given = {"scale": scaling, "window_size": sees, "enable_gqa": grouped}
        out: torch.Tensor = varlen_attn(query, key, value, *bounds, **given)
        return out

    return Kernel(name, function, softcap=False, dropout=False)


@functools.cache
def flash_attn_kernel() -> Kernel | None:
    """flash-attn's, or None when it is not installed."""
    try:
        from flash_attn import flash_attn_varlen_func
    except ImportError:
        return None
    return of_flash_attn(flash_attn_varlen_func)


@functools.cache
def torch_kernel() -> Kernel | None:
    """torch's, or None when this torch has none with windows, scale and grouped heads."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    needed = {"scale", "window_size", "enable_gqa"}
    return of_torch(varlen_attn) if needed <= set(inspect.signature(varlen_attn).parameters) else None


@functools.cache
def has_hardware() -> bool:
    """Whether there is a GPU that these kernels are made for: CUDA, from Ampere on."""
    return torch.cuda.is_available() and torch.cuda.get_device_capability() >= (8, 0)


@functools.cache
def found() -> Kernel | None:
    """The kernel that runs on this machine when none is asked for."""
    return (flash_attn_kernel() or torch_kernel()) if has_hardware() else None


def fits(
    kernel: Kernel | None,
    query: torch.Tensor,
    value: torch.Tensor,
    dropout: float,
    softcap: float | None,
    sinks: torch.Tensor | None,
    mask: torch.Tensor | None,
    window: int | None,
) -> bool:
    """Whether a kernel can compute this attention; a mask it can only express when it is a sliding window's."""
    if kernel is None or query.device.type != kernel.device or sinks is not None:
        return False
    if mask is not None and (window is None or not getattr(mask, "is_local", False)):
        return False
    if (dropout and not kernel.dropout) or (softcap is not None and not kernel.softcap):
        return False
    dimension = query.shape[-1]
    even = dimension == value.shape[-1] and dimension % 8 == 0 and dimension <= kernel.widest
    return even and _dtype(query) in kernel.dtypes


def attend(
    kernel: Kernel,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seq_lens: torch.Tensor,
    longest: int,
    **options: Any,
) -> torch.Tensor:
    """Attention of each sequence over itself.

    Args:
        query, key, value: (1, heads, T, D).
        cu_seq_lens: int32, number of sequences + 1.
        longest: tokens of the longest sequence.
        options: `causal`; `scaling` of the scores, None for 1/√D; `window`, tokens that a token sees, itself included,
            None for all before it; `dropout`; `softcap`.

    Returns: (1, T, heads, D).
    """
    dtype = _dtype(query)
    query, key, value = (tensor[0].transpose(0, 1).to(dtype) for tensor in (query, key, value))
    return kernel.function(query, key, value, cu_seq_lens, longest, **options).unsqueeze(0)


def _dtype(query: torch.Tensor) -> torch.dtype:
    """What the kernel would compute in: the kernel is no autocast operation, so autocast is applied here."""
    kind = query.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else query.dtype
