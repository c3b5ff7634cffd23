"""Gradients in a loop of one's own on several processes: of weights that each has whole, of spread ones, or of both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch.distributed import all_reduce
from torch.distributed.tensor import DTensor

from tunesmith_library_training import processes
from tunesmith_library_training.sharding import local


def start_alike(weights: Iterable[torch.Tensor]) -> None:
    """Give all processes the whole weights of the first; of spread ones each has a part of its own."""
    processes.start_alike(weight for weight in weights if not isinstance(weight, DTensor))


def add_gradients(weights: Sequence[torch.Tensor]) -> None:
    """Replace gradients by their sum over all processes; of a spread weight it is their mean already."""
    processes.add_gradients(weight for weight in weights if not isinstance(weight, DTensor))
    for weight in weights:
        if isinstance(weight, DTensor) and weight.grad is not None:
            local(weight.grad).mul_(processes.count())


def clip_gradients(weights: Iterable[torch.Tensor], longest: float) -> float:
    """Scale gradients down, so that the 2-norm of all together is at most `longest`. All processes call it.

    Returns: the norm before that.
    """
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    alike: dict[object, list[torch.Tensor]] = {}  # by the groups of processes over which gradients are divided
    for gradient in gradients:
        divided: object = None
        if isinstance(gradient, DTensor):
            divided = (gradient.device_mesh, tuple(at for at, it in enumerate(gradient.placements) if it.is_shard()))
        alike.setdefault(divided, []).append(local(gradient))
    norm = float(torch.stack([_square(divided, parts) for divided, parts in alike.items()]).sum().sqrt())
    if norm > longest:
        for gradient in gradients:
            local(gradient).mul_(longest / (norm + 1e-6))
    return norm


def _square(divided: object, parts: Sequence[torch.Tensor]) -> torch.Tensor:
    """The sum of the squares of gradients, of which this process has parts; fp32, on the CPU."""
    square = torch.stack([part.float().square().sum() for part in parts]).sum()
    if isinstance(divided, tuple):
        mesh, dimensions = divided
        for dimension in dimensions:
            all_reduce(square, group=mesh.get_group(dimension))
    return square.cpu()
