"""Rotary positions whose frequencies depend on the longest sequence (dynamic NTK, LongRoPE): of the whole batch.

transformers takes the largest position that a forward pass sees, which is not the batch's where a process has a part.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch

_KINDS = ("dynamic", "longrope")

_longest: ContextVar[int | None] = ContextVar("longest sequence of the batch of which a part runs", default=None)


@contextmanager
def longest(length: int) -> Iterator[None]:
    """Say, for this block, how long the longest sequence of the whole batch is."""
    token = _longest.set(length)
    try:
        yield
    finally:
        _longest.reset(token)


def watch(model: torch.nn.Module) -> None:
    """Have a model's rotary positions see the last position of the whole batch beside those of the part."""
    for module in model.modules():
        kinds: Any = getattr(module, "rope_type", None)
        every = kinds.values() if isinstance(kinds, dict) else [kinds]
        if any(kind in _KINDS for kind in every):
            module.register_forward_pre_hook(_see_last, with_kwargs=True)
            module.register_forward_hook(_forget_last)


def _see_last(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    length = _longest.get()
    if length is None:
        return None
    positions: Any = kwargs.get("position_ids", args[1] if len(args) > 1 else None)
    last = positions.new_full((*positions.shape[:-1], 1), length - 1)
    positions = torch.cat([positions, last], dim=-1)
    if "position_ids" in kwargs:
        return args, {**kwargs, "position_ids": positions}
    return (args[0], positions, *args[2:]), kwargs


def _forget_last(module: torch.nn.Module, args: tuple[Any, ...], output: Any) -> Any:
    if _longest.get() is None:
        return None
    if isinstance(output, tuple):
        return tuple(part[..., :-1, :] for part in output)
    return output[..., :-1, :]
