"""What layers save for the backward pass, moved to the host as it is saved, and back before it is needed.

Two streams: while the GPU computes, the other one copies. A tensor that is copied to the host is held until the
computing stream has waited for the copy, so that its memory is not used again too early; no more than a few are. In the
backward pass, which goes the other way round, those that were saved before are fetched while one is used.
"""

from __future__ import annotations

import weakref
from collections import deque
from typing import Any, Protocol

import torch
from torch.autograd.graph import saved_tensors_hooks
from transformers.modeling_layers import GradientCheckpointingLayer
from tunesmith import TunesmithError


def has_accelerator() -> bool:
    """Whether this machine has what activations could be moved from."""
    return torch.accelerator.is_available()


class Lane(Protocol):
    """How tensors go to the host and back. A ticket is what says that a copy is done."""

    in_flight: int  # copies at a time, each way

    def takes(self, tensor: torch.Tensor) -> bool:
        """Whether a tensor is where it can be moved from."""

    def to_host(self, tensor: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """Begin to copy it: the copy, and its ticket."""

    def to_device(self, tensor: torch.Tensor, device: torch.device) -> tuple[torch.Tensor, Any]:
        """Begin to copy it back: the copy, and its ticket."""

    def wait(self, ticket: Any) -> None:
        """Have what is computed from now on wait for a copy."""


class Transfers:
    """Copies of an accelerator's, on a stream of their own, through pinned memory."""

    def __init__(self, in_flight: int) -> None:
        self.in_flight = in_flight
        self._module: Any = torch.get_device_module()
        self._stream = self._module.Stream()

    def takes(self, tensor: torch.Tensor) -> bool:
        return tensor.device.type != "cpu"

    def to_host(self, tensor: torch.Tensor) -> tuple[torch.Tensor, Any]:
        copy = torch.empty_like(tensor, device="cpu", pin_memory=True)
        return copy, self._copied(tensor, copy)

    def to_device(self, tensor: torch.Tensor, device: torch.device) -> tuple[torch.Tensor, Any]:
        copy = torch.empty_like(tensor, device=device)  # memory of the computing stream, to which it goes back
        return copy, self._copied(tensor, copy)

    def wait(self, ticket: Any) -> None:
        self._module.current_stream().wait_event(ticket)

    def _copied(self, source: torch.Tensor, target: torch.Tensor) -> Any:
        """Copy once all that was computed so far is there; gives the event of its end."""
        self._stream.wait_stream(self._module.current_stream())
        with self._module.stream(self._stream):
            target.copy_(source, non_blocking=True)
            return self._stream.record_event()


class Moved:
    """A saved tensor in the host's memory; all that saved the same tensor share it."""

    def __init__(self, number: int, host: torch.Tensor, device: torch.device) -> None:
        self.number, self.host, self.device = number, host, device
        self.back: tuple[torch.Tensor, Any] | None = None  # on the device again, and the ticket of that copy


class Offload:
    """What is saved within its `hooks` is moved by a lane, apart from weights and what is small.

    Args:
        min_bytes: of a tensor that is moved.
    """

    def __init__(self, lane: Lane, min_bytes: int) -> None:
        self.lane, self.min_bytes = lane, min_bytes
        self.weights: set[int] = set()  # addresses of the weights of the layer that is computed
        self._leaving: deque[tuple[torch.Tensor, Any, Moved]] = deque()
        self._arriving: dict[int, tuple[torch.Tensor, Any]] = {}  # fetched, and not used yet
        self._saved: weakref.WeakValueDictionary[int, Moved] = weakref.WeakValueDictionary()
        self._count = 0

    def hooks(self) -> saved_tensors_hooks:
        """A context; within it saved tensors are moved."""
        return saved_tensors_hooks(self._pack, self._unpack)

    def _pack(self, tensor: torch.Tensor) -> torch.Tensor | Moved:
        if not self._is_moved(tensor):
            return tensor
        while self._arriving:  # of a backward pass that was broken off
            self.lane.wait(self._arriving.popitem()[1][1])
        # Only those that are held are sure to be at their address still.
        known = [moved for held, _, moved in self._leaving if _identity(held) == _identity(tensor)]
        if known:
            return known[0]
        while len(self._leaving) >= self.lane.in_flight:
            self.lane.wait(self._leaving.popleft()[1])
        host, ticket = self.lane.to_host(tensor)
        moved = self._saved[self._count] = Moved(self._count, host, tensor.device)
        self._count += 1
        self._leaving.append((tensor, ticket, moved))
        return moved

    def _is_moved(self, tensor: torch.Tensor) -> bool:
        size = tensor.numel() * tensor.element_size()
        if type(tensor) is not torch.Tensor or tensor.layout != torch.strided or size < self.min_bytes:
            return False
        storage = tensor.untyped_storage()
        expanded = storage.nbytes() < size
        return not expanded and storage.data_ptr() not in self.weights and self.lane.takes(tensor)

    def _unpack(self, saved: torch.Tensor | Moved) -> torch.Tensor:
        if isinstance(saved, torch.Tensor):
            return saved
        while self._leaving:
            self.lane.wait(self._leaving.popleft()[1])
        tensor, ticket = self._fetched(saved)
        self._arriving.pop(saved.number, None)
        for number in range(saved.number - 1, saved.number - 1 - self.lane.in_flight, -1):
            before = self._saved.get(number)
            if before is not None:
                self._fetched(before)
        self.lane.wait(ticket)
        return tensor

    def _fetched(self, moved: Moved) -> tuple[torch.Tensor, Any]:
        """A tensor that is back or on its way, and its ticket."""
        if moved.back is None:
            moved.back = self._arriving[moved.number] = self.lane.to_device(moved.host, moved.device)
        return moved.back


def _identity(tensor: torch.Tensor) -> Any:
    return tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor._version


def move(model: Any, lane: Lane, min_bytes: int) -> int:
    """Have what the layers of a model save in training moved.

    Returns: how many layers there are.
    Raises: TunesmithError for a model without layers that are known as such.
    """
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers:
        raise TunesmithError(
            f"patch.activation_offload: {type(model).__name__} does not say which of its modules are layers.\n"
            "  leave patch.activation_offload out"
        )
    offload, entered = Offload(lane, min_bytes), []

    def enter(layer: Any, inputs: Any) -> None:
        hooks = offload.hooks() if layer.training and torch.is_grad_enabled() else None
        entered.append(hooks)
        if hooks is not None:
            offload.weights = {weight.untyped_storage().data_ptr() for weight in layer.parameters()}
            hooks.__enter__()

    def leave(layer: Any, inputs: Any, outputs: Any) -> None:
        hooks = entered.pop()
        if hooks is not None:
            hooks.__exit__(None, None, None)

    for layer in layers:
        layer.register_forward_pre_hook(enter)
        layer.register_forward_hook(leave, always_call=True)
    model.supports_gradient_checkpointing = False  # both at once would each undo what the other does
    return len(layers)
