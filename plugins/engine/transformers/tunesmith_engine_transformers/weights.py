"""The weights of an engine's model: exchanged, chosen by adapter, out of the way and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
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


def opened_as(model: Any) -> str | None:
    """The name of what acts as a model was opened; None where several do together."""
    if not hasattr(model, "disable_adapter"):
        return BASE
    active = model.active_adapter
    return active if isinstance(active, str) else None


@contextmanager
def adapted(model: Any, name: str | None) -> Iterator[None]:
    """Let one of `adapters_of` act for a while; None: as it is."""
    if name is None or name == getattr(model, "active_adapter", None):  # one that is trained is left as it is
        yield
    elif name == BASE:
        with model.disable_adapter() if hasattr(model, "disable_adapter") else nullcontext():
            yield
    else:
        before = model.active_adapter
        model.set_adapter(name, inference_mode=True)
        try:
            yield
        finally:
            model.set_adapter(before, inference_mode=True)


class Acting:
    """Which adapter acts: changed only where it makes a difference, for that costs as much as a small step.

    Args:
        model: what carries the adapters; exchanged by whoever wraps it, while none was chosen.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self._name: str | None = None
        self._stack = ExitStack()

    def adapter(self, name: str | None) -> None:
        """Let one of `adapters_of` act from now on; None: as the model was opened."""
        if name != self._name:
            self._stack.close()
            self._name = None
            self._stack.enter_context(adapted(self.model, name))
            self._name = name


def load_weights(model: Any, weights: Iterable[tuple[str, Any]]) -> None:
    """Copy tensors over the model's weights of these names, in the model's own precision and place.

    What was remembered of weights is forgotten, also where none is given: a model that is trained changes by itself.

    Raises: TunesmithError for a name or a shape that the model does not have, and for weights stored in fewer bits.
    """
    own = model.state_dict()
    torch.clear_autocast_cache()
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
