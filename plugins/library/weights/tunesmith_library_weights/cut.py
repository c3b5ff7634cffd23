"""Weights that DeepSpeed's ZeRO-3 has cut in pieces: what a process is left with is an empty one that knows of them."""

from __future__ import annotations

from typing import Any


def is_cut(weight: Any) -> bool:
    """Whether a weight is an empty parameter, whose parts are with all processes."""
    return hasattr(weight, "ds_id")


def shape_of(weight: Any) -> tuple[int, ...]:
    """The shape of the whole weight."""
    return tuple(getattr(weight, "ds_shape", weight.shape))


def size_of(weight: Any) -> int:
    """The elements of the whole weight."""
    return int(getattr(weight, "ds_numel", None) or weight.numel())


def piece_of(weight: Any) -> Any:
    """What this process has of a weight, as a tensor; of one that is not cut all."""
    return getattr(weight, "ds_tensor", weight)
