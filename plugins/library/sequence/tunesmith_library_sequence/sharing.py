"""The processes of a run in groups that share sequences, and a model whose batches they divide."""

from __future__ import annotations

from typing import Any

import torch.distributed as dist
from tunesmith import TunesmithError, announce
from tunesmith_library_training import head, parts, processes

from tunesmith_library_sequence.dividing import Divider, Method
from tunesmith_library_sequence.exchanging import Sharers


def share(model: Any, method: Method, size: int) -> None:
    """Have the batches of a model divided over each `size` neighbouring processes; all processes call it.

    Args:
        model: of transformers, with adapters or not.

    Raises: TunesmithError where its sequences cannot be shared.
    """
    try:
        processes.alike(size)
    except ValueError as error:
        raise TunesmithError(f"parallel.sequence_size: {error}") from None
    parts.divide(head.unwrap(model), Divider(method, sharers(size)))
    announce("each batch's tokens", f"divided over {size} processes", f"parallel.sequence={method}")


def sharers(size: int) -> Sharers:
    """The group of this process, of `size` neighbours; all processes call it."""
    own = Sharers()
    for first in range(0, processes.count(), size):
        ranks = list(range(first, first + size))
        group = dist.new_group(ranks)
        if processes.rank() in ranks:
            own = Sharers(group, size, ranks.index(processes.rank()))
    return own
