"""Prompts in TRL's loops, which know them by their numbers.

TRL would tokenise conversations itself, by a template of its own, and show images alone. Here a prompt is the number of
an encoded example; its tokens, and what it shows, are those that the stage has encoded.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

NUMBERS = "numbers"
"""By which name `generate`, and what is learned from, have the numbers of examples: int64 (B, 1) and (B,)."""


def numbered(count: int) -> list[dict[str, Any]]:
    """TRL's rows of so many examples."""
    return [{"prompt": [{"role": "user", "content": str(number)}]} for number in range(count)]


def number_of(prompt: Sequence[Mapping[str, Any]]) -> int:
    """The number of the example that a prompt of `numbered` stands for."""
    return int(prompt[-1]["content"])


def asking(processor: Any, examples: Any) -> Any:
    """A copy of a processor, or a tokenizer, whose `apply_chat_template` tokenises the prompts of `numbered`.

    Args:
        examples: of `prompts.encode_prompts`, by their numbers.
    """
    made = copy.copy(processor)

    def apply_chat_template(conversation: Sequence[Any], **options: Any) -> Any:
        numbers = [number_of(prompt) for prompt in conversation]
        ids = [list(examples[number]["prompt_input_ids"]) for number in numbers]
        # TRL hands to `generate` whatever it finds beside tokens
        return {"input_ids": ids, "attention_mask": [[1] * len(each) for each in ids], NUMBERS: [[n] for n in numbers]}

    made.apply_chat_template = apply_chat_template
    return made
