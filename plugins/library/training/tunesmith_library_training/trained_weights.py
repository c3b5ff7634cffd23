"""The weights of a model while it is trained, for programs that have others of the same names."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import chain
from typing import Any

import torch
from tunesmith import TunesmithError
from tunesmith.types import TrainingJob
from tunesmith_library_publishing.inventory import tensors_of
from tunesmith_library_publishing.weights import published_tensors


def trained_weights(job: TrainingJob) -> Iterator[tuple[str, torch.Tensor]]:
    """The trained model's tensors on the CPU under the names of its base's files, the adapter folded in.

    The model itself stays as it is.

    Raises: TunesmithError when its adapter cannot be folded in, or it has other tensors than its base.
    """
    if job.handle is None:
        return
    model, base = job.model, job.handle.source.path
    memory: dict[int, Any] = {}
    for tensor in chain(model.parameters(), model.buffers()):
        apart, weight = tensor.detach().to("cpu", copy=True), isinstance(tensor, torch.nn.Parameter)
        memory[id(tensor)] = torch.nn.Parameter(apart, tensor.requires_grad) if weight else apart
    plain = job.handle.merge(copy.deepcopy(model, memory))
    stored = tensors_of(base)
    tensors = published_tensors(plain, base, stored)
    other = [name for name, it in tensors.items() if name not in stored or tuple(stored[name].shape) != tuple(it.shape)]
    if other:
        raise TunesmithError(
            f"{len(other)} tensors of the trained model, such as {other[0]}, are not in {base} in this shape: an "
            "engine with weights of its own has no place for them.\n  choose one that runs the trained model itself"
        )
    yield from tensors.items()
