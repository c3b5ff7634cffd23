"""Which trained weights have no gradient: what stands in a run and learns nothing.

Looked at where a step is logged, between the backward pass and the optimizer's step. What is found stays on the device
until it is told, so that no other step waits for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from tunesmith_library_training import processes

PREFIX = "zero_gradient/"
"""Of the metrics that name such weights."""

_WRAPPED = re.compile(r"^(?:_orig_mod\.|module\.)*(?:base_model\.model\.)?")
_ADAPTER = re.compile(r"\.(?:default|weight)(?=\.|$)")
_LAYER = re.compile(r"(?<=\.)\d+(?=\.|$)")


class Gradients:
    """What was seen of a model's gradients at the last look.

    Weights of one place in all layers are one group, `model.layers.*.self_attn.q_proj.lora_B`: a layer by itself may
    well be without a gradient for a while, such as an expert that no token was sent to.
    """

    def __init__(self) -> None:
        self._names: list[str] = []
        self._seen: Any = None  # (W,) bool: whether any number of the weight's gradient is not zero
        self._without: list[str] = []  # the weights that got no gradient at all
        self._in_parts = False  # whether a process sees a part of some gradients only

    def look(self, model: Any) -> None:
        """Look at the gradients of the step that is being made. Nothing is waited for."""
        import torch

        from tunesmith_library_training.sharding import local

        trained = [(name, weight.grad) for name, weight in model.named_parameters() if weight.requires_grad]
        dense = [(name, grad) for name, grad in trained if grad is not None and not grad.is_sparse]
        self._names = [name for name, _ in dense]
        parts = [local(grad) for _, grad in dense]
        self._in_parts = any(part is not grad for part, (_, grad) in zip(parts, dense, strict=True))
        device = parts[0].device if parts else None
        self._seen = torch.stack([part.any().to(device, non_blocking=True) for part in parts]) if parts else None
        # where none is left the optimizer has taken them as they came, and freed them
        self._without = [name for name, grad in trained if grad is None] if dense else []

    def told(self) -> dict[str, float]:
        """The number of weights in each group that has no gradient other than zero, as metrics; {} if all have one.

        It waits for the device. All processes call it.
        """
        if self._seen is None:
            return {}
        every = processes.gathered(self._seen.tolist()) if self._in_parts else [self._seen.tolist()]
        nothing = [name for name, *seen in zip(self._names, *every, strict=True) if not any(seen)]
        silent, sizes = _by_group([*nothing, *self._without]), _by_group([*self._names, *self._without])
        return {f"{PREFIX}{group}": float(number) for group, number in silent.items() if number == sizes[group]}


def _by_group(names: Iterable[str]) -> dict[str, int]:
    """How many weights there are of each place, whatever their layer."""
    found: dict[str, int] = {}
    for name in names:
        group = _LAYER.sub("*", _ADAPTER.sub("", _WRAPPED.sub("", name)))
        found[group] = found.get(group, 0) + 1
    return found
