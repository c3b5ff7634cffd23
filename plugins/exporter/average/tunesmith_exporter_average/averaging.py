"""The mean of tensors that several files hold under the same names: in float64, a tensor at a time, rounded once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import torch
from tunesmith import TunesmithError
from tunesmith_library_publishing.inventory import Reader, Stored


def averaged(parts: Sequence[Mapping[str, Stored]], weights: Sequence[float]) -> dict[str, torch.Tensor]:
    """Σ wᵢ xᵢ / Σ wᵢ of every tensor, in the numbers that the first part holds it in.

    Args:
        parts: the same names and shapes in each.
        weights: their sum is not 0.

    Raises: TunesmithError when whole numbers, of which there is no mean, are not the same in all parts.
    """
    found = {}
    with ExitStack() as opened:
        readers = [opened.enter_context(Reader(part)) for part in parts]
        for name in parts[0]:
            tensors = [read(name) for read in readers]
            found[name] = mean(tensors, weights)
            if not found[name].is_floating_point() and any(not torch.equal(tensors[0], other) for other in tensors):
                raise TunesmithError(f"{name} holds whole numbers, which are not the same in all and have no mean")
    return found


def mean(tensors: Sequence[torch.Tensor], weights: Sequence[float]) -> torch.Tensor:
    """Σ wᵢ xᵢ / Σ wᵢ in float64, rounded once to the numbers of the first; of whole numbers the first."""
    first = tensors[0]
    if not first.is_floating_point():
        return first
    total = torch.zeros(first.shape, dtype=torch.float64)
    for tensor, weight in zip(tensors, weights, strict=True):
        total += weight * tensor.double()
    return (total / sum(weights)).to(first.dtype)
