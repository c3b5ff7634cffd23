"""The processes of a run in groups that share sequences, and a model whose batches they divide."""

from __future__ import annotations

from typing import Any

import torch.distributed as dist
from tunesmith import TunesmithError, announce
from tunesmith_library_training import head, parts, processes, watching
from tunesmith_library_training.isolation import carries_state

from tunesmith_library_sequence import rotary
from tunesmith_library_sequence.dividing import Divider, Method
from tunesmith_library_sequence.exchanging import Sharers
from tunesmith_library_sequence.options import refusal


def share(model: Any, method: Method, size: int) -> None:
    """Have the batches of a model divided over each `size` neighbouring processes; all processes call it.

    Args:
        model: of transformers, with adapters or not.

    Raises: TunesmithError where its sequences cannot be shared.
    """
    base = head.unwrap(model)
    refuse(base, method, size)
    try:
        processes.alike(size)
    except ValueError as error:
        raise TunesmithError(f"parallel.sequence_size: {error}") from None
    parts.divide(base, Divider(method, sharers(size)))
    rotary.watch(base)
    announce("each batch's tokens", f"divided over {size} processes", f"parallel.sequence={method}")


def refuse(model: Any, method: Method, size: int) -> None:
    """Raises: TunesmithError where the sequences of transformers' base model cannot be shared."""
    found = refusal(model.config.to_dict(), method, size)
    if found:
        raise TunesmithError(f"parallel.sequence={method}: {found[0]}\n  {found[1]}")
    state = carries_state(model)
    if state:
        raise TunesmithError(
            f"parallel.sequence={method}: {state} carries a state from token to token.\n  leave parallel.sequence out"
        )
    chosen = str(model.config._attn_implementation)
    if watching.NAME not in chosen:
        raise TunesmithError(
            f"parallel.sequence={method}: the attention of {type(model).__name__} is {chosen}, which cannot see the "
            "tokens of other processes.\n  leave parallel.sequence out, or model.attention where it was chosen"
        )


def sharers(size: int) -> Sharers:
    """The group of this process, of `size` neighbours; all processes call it."""
    own = Sharers()
    for first in range(0, processes.count(), size):
        ranks = list(range(first, first + size))
        group = dist.new_group(ranks)
        if processes.rank() in ranks:
            own = Sharers(group, size, ranks.index(processes.rank()))
    return own
