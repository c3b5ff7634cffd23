"""Batches whose tokens several processes share: what losses, masks and attention must know of them.

`tunesmith_library_sequence` divides the batches of a model, which then computes its own tokens alone. Its losses are
those of whole batches on each process that shares them; the gradients of each are what its own tokens give.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, Protocol

import torch
from tunesmith import TunesmithError, announce
from tunesmith.types import Batch

PART = "part_of_batch"
"""The attribute of a divided batch's `cu_seq_lens_q` under which attention finds the process's part of it."""


class Part(Protocol):
    """A process's part of a batch."""

    @property
    def batch(self) -> Batch:
        """The whole batch, with all that a divided one needs."""

    def positions(self, trained: torch.Tensor) -> torch.Tensor:
        """Those of some positions (K,) of the whole batch that are of this part, at least one."""

    def inputs(self, inputs: Batch, keep: torch.Tensor) -> tuple[Batch, torch.Tensor]:
        """The model's inputs for the tokens of this part, and where among them the positions `keep` are."""

    def running(self) -> AbstractContextManager[Any]:
        """What is around the forward pass of a model."""

    def complete(self, model: Any, outputs: Any) -> None:
        """Put what a model's outputs say of the whole batch in place of what they say of the part."""

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over all parts, on each process, differentiable in the values of its own."""


class Whole:
    """A batch that a process has for itself."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def positions(self, trained: torch.Tensor) -> torch.Tensor:
        """All of them."""
        return trained

    def inputs(self, inputs: Batch, keep: torch.Tensor) -> tuple[Batch, torch.Tensor]:
        """As they are."""
        return inputs, keep

    def running(self) -> AbstractContextManager[Any]:
        """Nothing."""
        return nullcontext()

    def complete(self, model: Any, outputs: Any) -> None:
        """They are complete."""

    def total(self, values: torch.Tensor) -> torch.Tensor:
        """They are all there are."""
        return values


class Divider(Protocol):
    """Makes parts of batches."""

    def __call__(self, batch: Batch) -> Part:
        """This process's part of a batch."""

    def watch(self, model: Any) -> None:
        """Prepare transformers' base model. Raises: TunesmithError where its batches cannot be divided."""


_dividers: weakref.WeakKeyDictionary[torch.nn.Module, Divider] = weakref.WeakKeyDictionary()
_whole: weakref.WeakSet[torch.nn.Module] = weakref.WeakSet()  # second models that cannot be divided
_undivided: ContextVar[bool] = ContextVar("batches are left whole", default=False)
_mask: ContextVar[Callable[..., Any] | None] = ContextVar("mask of the part that runs", default=None)


def divide(model: torch.nn.Module, divider: Divider) -> None:
    """Have the batches of transformers' base model divided from now on.

    Raises: TunesmithError where they cannot be.
    """
    divider.watch(model)
    _dividers[model] = divider


def divide_alike(model: torch.nn.Module, trained: torch.nn.Module) -> None:
    """Have the batches of a second base model divided as the trained one's, or left whole where they cannot be."""
    divider = _dividers.get(trained)
    if divider is None or model in _dividers or model in _whole:
        return
    try:
        divide(model, divider)
    except TunesmithError as error:
        _whole.add(model)
        announce("batches of the second model", "whole on each process", str(error).partition("\n")[0])


def is_divided(model: torch.nn.Module) -> bool:
    """Whether the batches of transformers' base model are divided."""
    return not _undivided.get() and model in _dividers


def part_of(model: torch.nn.Module, batch: Batch) -> Part:
    """This process's part of a batch of transformers' base model."""
    divider = None if _undivided.get() else _dividers.get(model)
    return Whole(batch) if divider is None else divider(batch)


def totals(
    part: Part, loss: torch.Tensor, metrics: Mapping[str, torch.Tensor]
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """A loss, a scalar, and metrics of the whole batch, of those of a part."""
    if isinstance(part, Whole):
        return loss, dict(metrics)
    sizes = [value.numel() for value in metrics.values()]
    own = torch.cat([loss.view(1), *(value.detach().to(loss.dtype).flatten() for value in metrics.values())])
    whole, *found = part.total(own).split([1, *sizes])
    shaped = zip(metrics.items(), found, strict=True)
    return whole[0], {name: value.detach().view(former.shape) for (name, former), value in shaped}


@contextmanager
def undivided() -> Iterator[None]:
    """Leave batches whole within this block, for what not all processes do together."""
    token = _undivided.set(True)
    try:
        yield
    finally:
        _undivided.reset(token)


@contextmanager
def masked_by(make: Callable[..., Any]) -> Iterator[None]:
    """Have `make(window, special)` say what mask attention gets while a divided batch runs."""
    token = _mask.set(make)
    try:
        yield
    finally:
        _mask.reset(token)


def mask_maker() -> Callable[..., Any] | None:
    """What makes the masks of the divided batch that runs; None for every other one."""
    return _mask.get()
