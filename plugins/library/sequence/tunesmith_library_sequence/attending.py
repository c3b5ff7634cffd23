"""Attention of a process that has some of the tokens: by heads for a while (Ulysses), or in a ring."""

from __future__ import annotations

import math
from typing import Any

import torch
from tunesmith import TunesmithError
from tunesmith_library_training import attention, varlen

from tunesmith_library_sequence import ring
from tunesmith_library_sequence.blocks import Rules
from tunesmith_library_sequence.exchanging import Sharers
from tunesmith_library_sequence.pieces import Division, contiguous

LOCAL = "window"
"""The attribute of a mask that stands for one: tokens that a token sees, itself included."""


def mask(window: int | None, *, special: bool) -> torch.Tensor | None:
    """What stands for the mask of a divided batch: nothing where causal attention within each sequence says it all.

    Raises: TunesmithError for attention that is not causal, or that a model describes by a function of its own.
    """
    if special:
        raise TunesmithError(
            "parallel.sequence: this model's attention is not causal here (images, or a mask of its own), and its "
            "sequences cannot be shared.\n  leave parallel.sequence out"
        )
    if window is None:
        return None
    stands = torch.zeros(1, 1, 1, 1, dtype=torch.bool)
    setattr(stands, LOCAL, window)
    return stands


def _window(module: torch.nn.Module, given: torch.Tensor | None, sliding_window: int | None) -> int | None:
    """The window that binds in a layer.

    Raises: TunesmithError where it is not one that slides: attention in chunks.
    """
    if given is None:
        return None
    window: int | None = getattr(given, LOCAL, None)
    if window is None or sliding_window != window:
        raise TunesmithError(
            f"parallel.sequence: {type(module).__name__} attends in chunks, or by a mask of its own, and its sequences "
            "cannot be shared.\n  leave parallel.sequence out, or keep sequences within a chunk: stage.max_length"
        )
    return window


def in_ring(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    given: torch.Tensor | None,
    division: Division,
    sharers: Sharers,
    *,
    dropout: float,
    scaling: float | None,
    **asked: Any,
) -> torch.Tensor:
    """Ring attention with `attend`'s signature: (1, T, heads, D) of this process's tokens.

    Raises: TunesmithError for dropout of attention weights, which are never all in one place, and for attention in both
        directions.
    """
    if dropout:
        raise TunesmithError(
            f"parallel.sequence=ring: the model drops attention weights ({dropout:g} of them), which a ring cannot.\n"
            "  write parallel.sequence=ulysses"
        )
    _refuse_both_directions(module, asked.get("is_causal"))
    rules = _rules(module, query, given, scaling, asked)
    kind = query.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else query.dtype
    query, key, value = (tensor[0].to(dtype) for tensor in (query, key, value))
    with torch.autocast(kind, enabled=False):
        output = ring.attend(query, key, value, asked.get("s_aux"), division, sharers, rules)
    return output.transpose(0, 1).unsqueeze(0)


def by_heads(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    given: torch.Tensor | None,
    division: Division,
    sharers: Sharers,
    *,
    bounds: torch.Tensor,
    **asked: Any,
) -> torch.Tensor:
    """DeepSpeed Ulysses (Jacobs et al. 2023, arXiv 2309.14509) with `attend`'s signature: (1, T, heads, D).

    Each process gets all tokens of its share of the heads, attends as one process alone would, and gives each its
    tokens back. Keys of fewer heads than there are processes are sent to several of them.

    Args:
        bounds: `cu_seq_lens_q` of the whole row.

    Raises: TunesmithError where the heads cannot be divided.
    """
    heads, size, counts = query.shape[1], sharers.size, division.counts
    if heads % size:
        raise TunesmithError(uneven_heads(heads, size))
    _refuse_both_directions(module, asked.get("is_causal"))
    together = math.lcm(key.shape[1], size)  # divides the number of query heads, as both do
    key, value = (tensor.repeat_interleave(together // tensor.shape[1], 1) for tensor in (key, value))
    sent = [tensor[0].transpose(0, 1).unflatten(1, (size, -1)) for tensor in (query, key, value)]  # (T, size, heads, D)
    dtype = torch.promote_types(torch.promote_types(sent[0].dtype, sent[1].dtype), sent[2].dtype)
    widths = [each.shape[2] * each.shape[3] for each in sent]
    joined = torch.cat([each.flatten(2).to(dtype) for each in sent], dim=2)
    whole = sharers.to_heads(joined, counts).split(widths, dim=1)
    query, key, value = (
        row.unflatten(1, tensor.shape[2:]).transpose(0, 1).unsqueeze(0) for row, tensor in zip(whole, sent, strict=True)
    )
    if asked.get("s_aux") is not None:
        asked["s_aux"] = asked["s_aux"].reshape(size, -1)[sharers.rank]
    output = _of_some_heads(module, query, key, value, given, division, bounds, asked)  # (1, all tokens, own heads, Dv)
    back = sharers.to_tokens(output[0].flatten(1), counts)
    return back.reshape(1, counts[sharers.rank], heads, -1)


def _of_some_heads(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    given: torch.Tensor | None,
    division: Division,
    bounds: torch.Tensor,
    asked: dict[str, Any],
) -> torch.Tensor:
    """Attention of the whole row; a window that binds is computed in blocks where no kernel knows it."""
    window = _window(module, given, asked.get("sliding_window"))
    kernel = asked.get("kernel") or (varlen.found() if query.is_cuda else None)
    dropout, softcap, sinks = asked.get("dropout", 0.0), asked.get("softcap"), asked.get("s_aux")
    if window is None or varlen.fits(kernel, query, value, dropout, softcap, sinks, None, window):
        return attention.attend(module, query, key, value, None, cu_seq_lens_q=bounds, **asked)[0]
    row = contiguous(division.lengths, 1)
    return in_ring(module, query, key, value, given, row, Sharers(), **{**asked, "dropout": dropout})


def uneven_heads(heads: int, size: int) -> str:
    """What is wrong with so many heads for so many processes."""
    fitting = [number for number in range(2, heads + 1) if heads % number == 0]
    return (
        f"parallel.sequence=ulysses: {heads} attention heads cannot be divided over {size} processes.\n"
        f"  write parallel.sequence=ring, or parallel.sequence_size: {', '.join(map(str, fitting)) or 'none fits'}"
    )


def _rules(
    module: torch.nn.Module,
    query: torch.Tensor,
    given: torch.Tensor | None,
    scaling: float | None,
    asked: dict[str, Any],
) -> Rules:
    window = _window(module, given, asked.get("sliding_window"))
    return Rules(query.shape[-1] ** -0.5 if scaling is None else scaling, window, asked.get("softcap"))


def _refuse_both_directions(module: torch.nn.Module, is_causal: bool | None) -> None:
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    if not causal:
        raise TunesmithError(
            f"parallel.sequence: {type(module).__name__} attends in both directions, and its sequences cannot be "
            "shared.\n  leave parallel.sequence out"
        )
