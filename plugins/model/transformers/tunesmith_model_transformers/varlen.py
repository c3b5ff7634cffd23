"""Kernels for sequences of different lengths on CUDA: flash-attn's where it is installed, else torch's own.

Both are FlashAttention 2 (arXiv 2307.08691); flash-attn's also knows softcap and dropout.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

import torch

_HALVES = (torch.bfloat16, torch.float16)


@functools.cache
def flash_attn_kernel() -> Any:
    """`flash_attn_varlen_func`, or None."""
    try:
        from flash_attn import flash_attn_varlen_func
    except ImportError:
        return None
    return flash_attn_varlen_func


@functools.cache
def torch_kernel() -> Any:
    """`varlen_attn` when this torch has it with windows, scale and grouped heads, else None."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    needed = {"scale", "window_size", "enable_gqa"}
    return varlen_attn if needed <= set(inspect.signature(varlen_attn).parameters) else None


@functools.cache
def kernel_name() -> str | None:
    """The package whose kernel runs on this machine: `flash_attn`, `torch`, or None without CUDA from Ampere on."""
    if not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 0):
        return None
    return "flash_attn" if flash_attn_kernel() else "torch" if torch_kernel() else None


def fits(
    query: torch.Tensor,
    dropout: float,
    softcap: float | None,
    sinks: torch.Tensor | None,
    mask: torch.Tensor | None,
    window: int | None,
) -> bool:
    """Whether the kernel can compute this attention; a mask it can only express when it is a sliding window's."""
    if not query.is_cuda or kernel_name() is None or sinks is not None:
        return False
    if mask is not None and (window is None or not getattr(mask, "is_local", False)):
        return False
    if kernel_name() == "torch" and (dropout or softcap is not None):
        return False
    dimension = query.shape[-1]
    return _dtype(query) in _HALVES and dimension % 8 == 0 and dimension <= 256


def attend(
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
    """Attention of each sequence over itself.

    Args:
        query, key, value: (1, heads, T, D).
        cu_seq_lens: int32, number of sequences + 1.
        longest: tokens of the longest sequence.
        window: tokens that a token sees, itself included; None is all before it.

    Returns: (1, T, heads, D).
    """
    dtype = _dtype(query)
    query, key, value = (tensor[0].transpose(0, 1).to(dtype) for tensor in (query, key, value))
    bounds = (cu_seq_lens, cu_seq_lens, longest, longest)
    behind = -1 if window is None else window - 1
    if kernel_name() == "flash_attn":
        options = {"dropout_p": dropout, "softmax_scale": scaling, "causal": causal, "softcap": softcap or 0.0}
        out = flash_attn_kernel()(query, key, value, *bounds, window_size=(behind, -1), **options)
    else:
        window_size = (behind, 0 if causal else -1)
        grouped = query.shape[1] != key.shape[1]
        out = torch_kernel()(query, key, value, *bounds, scale=scaling, window_size=window_size, enable_gqa=grouped)
    return out.unsqueeze(0)


def _dtype(query: torch.Tensor) -> torch.dtype:
    """What the kernel would compute in: the kernel is no autocast operation, so autocast is applied here."""
    kind = query.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else query.dtype
