"""Which tokens end an answer: one place for engines, and for stages whose model answers while it is trained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tunesmith.types import ChatTemplate


def end_tokens(
    template: ChatTemplate | None, tokenizer: Any, generation_config: Any = None, stop: Iterable[str] = ()
) -> list[int]:
    """The ids of the tokens that end an answer by themselves, in ascending order.

    They are the tokenizer's end of text, the ends that the model was published with, and every string that ends a turn
    and is one token. A string of several tokens is none of these: it has to be looked for in the text.

    Args:
        template: its `stop` strings end the assistant's turn; None has none.
        tokenizer: with transformers' interface.
        generation_config: the model's; its `eos_token_id` is an id, a list of them, or None.
        stop: further strings that end an answer.
    """
    own = getattr(generation_config, "eos_token_id", None)
    found = {tokenizer.eos_token_id, *(own if isinstance(own, list | tuple) else [own])} - {None}
    for string in (*(template.stop if template is not None else ()), *stop):
        ids = tokenizer.encode(string, add_special_tokens=False)
        if len(ids) == 1:
            found.add(ids[0])
    return sorted(found)
