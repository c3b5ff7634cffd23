"""The weights of an engine's model: exchanged, chosen by adapter, out of the way and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from tunesmith.errors import TunesmithError, choices

BASE = "base"
"""The name of the model without its adapter."""


def adapters_of(model: Any) -> tuple[str, ...]:
    """The names of the adapters that a model carries beside its weights, and `BASE`; none for a plain model."""
    if not hasattr(model, "disable_adapter"):
        return ()
    return (BASE, *getattr(model, "peft_config", ()))


@contextmanager
def adapted(model: Any, name: str | None) -> Iterator[None]:
    """Let one of `adapters_of` act for a while; None: as it is."""
    if name is None:
        yield
    elif name == BASE:
        with model.disable_adapter():
            yield
    else:
        before = model.active_adapter
        model.set_adapter(name, inference_mode=True)
        try:
            yield
        finally:
            model.set_adapter(before, inference_mode=True)


def load_weights(model: Any, weights: Iterable[tuple[str, Any]]) -> None:
    """Copy tensors over the model's weights of these names, in the model's own precision and place.

    Raises: TunesmithError for a name or a shape that the model does not have, and for weights stored in fewer bits.
    """
    own = model.state_dict()
    with torch.no_grad():
        for name, tensor in weights:
            if name not in own:
                raise TunesmithError(f"the model has no weight {name!r}.\n{choices(name, own)}")
            if not own[name].is_floating_point():
                raise TunesmithError(f"{name} is quantised, and cannot be exchanged while the model is in use")
            if own[name].shape != tensor.shape:
                raise TunesmithError(f"{name} has the shape {list(own[name].shape)}, not {list(tensor.shape)}")
            own[name].copy_(tensor)


def move(model: Any, device: Any) -> None:
    """Move a model's weights to another device, and give the memory back that they had.

    Raises: TunesmithError for a model that cannot be moved.
    """
    left = model.device
    if left == torch.device(device):
        return
    try:
        model.to(device)
    except (RuntimeError, ValueError) as error:
        raise TunesmithError(f"this model cannot be moved to {device}: {error}") from error
    if left.type != "cpu":
        torch.accelerator.empty_cache()
