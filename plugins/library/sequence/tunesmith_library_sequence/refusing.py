"""Why the sequences of a model cannot be shared, as its configuration tells it; free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tunesmith_library_training.stateful import stateful_layers


def refusal(config: Mapping[str, Any], method: str, size: int | None) -> tuple[str, str] | None:
    """Why the sequences of a model cannot be shared, and what to do; None when they can, or it does not say.

    Args:
        config: what its config.json holds.
        size: processes that share a sequence; None where it is not known yet.
    """
    state = stateful_layers(config)
    if state:
        message = f"The model carries a state from token to token ({state}), which processes would have to wait for."
        return message, "leave parallel.sequence out"
    text = config.get("text_config") or config
    heads, dropout = text.get("num_attention_heads"), text.get("attention_dropout")
    if method == "ring" and dropout:
        return f"The model drops attention weights ({dropout:g} of them), which a ring cannot.", "use ulysses"
    if method != "ulysses" or not isinstance(heads, int) or size is None or heads % size == 0:
        return None
    fitting = [str(number) for number in range(2, heads + 1) if heads % number == 0]
    message = f"{heads} attention heads cannot be divided over {size} processes."
    return message, f"use ring, or parallel.sequence_size: {', '.join(fitting)}"
