"""Several processes that learn as one: each answers its share of a step's prompts, sums are taken over all."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.distributed as dist
from tunesmith_library_training import processes

Tensor = torch.Tensor


def total(values: Tensor) -> Tensor:
    """The sum of a tensor over all processes, on each; without gradients."""
    if processes.count() == 1:
        return values
    values = values.detach().clone()
    dist.all_reduce(values)
    return values


def add_gradients(weights: Iterable[Tensor]) -> None:
    """Replace gradients by their sum over all processes; a weight that a process did not use counts as 0 there."""
    if processes.count() == 1:
        return
    for weight in weights:
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)
        dist.all_reduce(weight.grad)


def start_alike(weights: Iterable[Tensor]) -> None:
    """Give all processes the weights of the first."""
    if processes.count() > 1:
        for weight in weights:
            dist.broadcast(weight.data, src=0)


def any_of(flag: bool) -> bool:
    """Whether a flag is set on any process."""
    return any(processes.gathered(flag))


def wait() -> None:
    """Wait until all processes are here."""
    processes.gathered(None)
