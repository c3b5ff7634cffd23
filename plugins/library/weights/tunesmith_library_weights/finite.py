"""Whether numbers are finite: what has become infinite or NaN is no result, and nothing of it is written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from tunesmith_library_weights.cut import piece_of


def trained_weights(model: Any) -> list[tuple[str, torch.Tensor]]:
    """The weights of a model that are trained, by name; none of what is no module."""
    return [(name, weight) for name, weight in _weights(model) if weight.requires_grad]


def frozen_weights(model: Any) -> list[tuple[str, torch.Tensor]]:
    """The weights of a model that stay as they are, by name; none of what is no module."""
    return [(name, weight) for name, weight in _weights(model) if not weight.requires_grad]


def _weights(model: Any) -> Iterable[tuple[str, torch.Tensor]]:
    named = getattr(model, "named_parameters", None)
    return named() if callable(named) else ()


@torch.no_grad()
def non_finite(tensors: Iterable[tuple[str, torch.Tensor]]) -> list[str]:
    """The names of the tensors that hold NaN or infinity.

    Each tensor is read once, without a copy; the device is waited for once per device. Integers, and tensors without
    data, such as those whose shard is elsewhere, are finite.
    """
    names: dict[torch.device, list[str]] = {}
    finite: dict[torch.device, list[torch.Tensor]] = {}
    for name, tensor in tensors:
        part = tensor.to_local() if hasattr(tensor, "to_local") else piece_of(tensor)  # of a spread one this process's
        if not part.is_floating_point() or not part.numel() or part.is_meta:
            continue
        if part.element_size() == 1:  # torch does not compare numbers in 8 bits
            part = part.float()
        names.setdefault(part.device, []).append(name)
        bounds = torch.stack(torch.aminmax(part.detach()))  # NaN where one is
        finite.setdefault(part.device, []).append(torch.isfinite(bounds).all())
    found = []
    for device, values in finite.items():
        found += [
            name for name, is_finite in zip(names[device], torch.stack(values).tolist(), strict=True) if not is_finite
        ]
    return found
