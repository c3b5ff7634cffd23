"""The weights of a model while it is trained, for programs that have others of the same names."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import chain
from typing import Any

import torch
from tunesmith import TunesmithError
from tunesmith.types import ModelHandle, TrainingJob
from tunesmith_library_publishing.inventory import tensors_of
from tunesmith_library_publishing.weights import published_tensors

from tunesmith_library_training import processes
from tunesmith_library_training.sharding import whole
from tunesmith_library_training.whole import copied_plain


def trained_weights(job: TrainingJob) -> Iterator[tuple[str, torch.Tensor]]:
    """The trained model's tensors on the CPU under the names of its base's files, the adapter folded in.

    The model itself stays as it is. Of several processes the main one gathers the weights one by one, and makes the
    tensors; the others are sent each in its turn, and keep none. All call it, and take all.

    Raises: TunesmithError when its adapter cannot be folded in, or it has other tensors than its base.
    """
    if job.handle is None:
        return
    memory = _copies(job.model)
    tensors: dict[str, torch.Tensor] = {}
    wrong: TunesmithError | None = None
    if processes.is_main():
        try:
            tensors = _published(job, job.handle, memory)
        except TunesmithError as error:
            wrong = error
    del memory
    forms = {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
    wrong, forms = processes.gathered((wrong, forms))[0]
    if wrong is not None:
        raise wrong
    for name, (shape, dtype) in forms.items():
        tensor = tensors.pop(name).contiguous() if processes.is_main() else torch.empty(shape, dtype=dtype)
        if processes.count() > 1:
            torch.distributed.broadcast(tensor, src=0)
        yield name, tensor


def _copies(model: Any) -> dict[int, Any]:
    """Whole copies on the CPU of all weights and buffers, by the `id` of each, on the main process."""
    memory: dict[int, Any] = {}
    for tensor in chain(model.parameters(), model.buffers()):
        apart = whole(tensor).detach()
        if processes.is_main():
            apart = apart.to("cpu", copy=True)
            is_weight = isinstance(tensor, torch.nn.Parameter)
            memory[id(tensor)] = torch.nn.Parameter(apart, tensor.requires_grad) if is_weight else apart
    return memory


def _published(job: TrainingJob, handle: ModelHandle, memory: dict[int, Any]) -> dict[str, torch.Tensor]:
    base = handle.source.path
    with copied_plain(job.model, memory):
        copied = copy.deepcopy(job.model, memory)
    plain = handle.merge(copied)
    stored = tensors_of(base)
    tensors: dict[str, torch.Tensor] = dict(published_tensors(plain, base, stored))
    other = [name for name, it in tensors.items() if name not in stored or tuple(stored[name].shape) != tuple(it.shape)]
    if other:
        raise TunesmithError(
            f"{len(other)} tensors of the trained model, such as {other[0]}, are not in {base} in this shape: an "
            "engine with weights of its own has no place for them.\n  choose one that runs the trained model itself"
        )
    return tensors
