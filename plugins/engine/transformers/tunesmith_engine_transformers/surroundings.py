"""The numbers and the device that a model computes in where an engine is opened, for the engine's thread.

torch has both by thread. While a model is trained some of its weights are wider than others, and meet under autocast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch


def as_here(device: Any) -> Callable[[], AbstractContextManager[None]]:
    """Make what another thread enters to compute as this one does now: under its autocast, on the model's device.

    Weights that autocast has cast are kept until the thread leaves it, or `torch.clear_autocast_cache()`.
    """
    kind = device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None

    @contextmanager
    def surroundings() -> Iterator[None]:
        if kind == "cuda":
            torch.cuda.set_device(device)
        with torch.autocast(kind, dtype, enabled=dtype is not None):
            yield

    return surroundings
