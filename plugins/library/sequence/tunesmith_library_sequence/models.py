"""What a model must be like for processes to share its sequences, and what is watched in it then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from tunesmith import TunesmithError
from tunesmith_library_training import parts, watching
from tunesmith_library_training.isolation import carries_state

from tunesmith_library_sequence import rotary
from tunesmith_library_sequence.refusing import refusal


def watch(model: Any) -> None:
    """Have a base model's positions be those of whole batches, and its losses those of parts."""
    rotary.watch(model)
    model.register_forward_pre_hook(_refuse_whole, with_kwargs=True)


def refuse(model: Any, method: str, size: int) -> None:
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


def _refuse_whole(model: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Each process would learn from the whole batch, and the gradients of all are added up."""
    bounds = kwargs.get("cu_seq_lens_q")
    if model.training and torch.is_grad_enabled() and getattr(bounds, parts.PART, None) is None:
        raise TunesmithError(
            "parallel.sequence: the stage's loss runs the model on whole batches, which cannot be divided.\n"
            "  leave parallel.sequence out; losses that use token_loss or sequence_log_probs can be divided"
        )
