"""Where a model's processor keeps its tokenizer."""

from __future__ import annotations

from typing import Any


def tokenizer_of(processor: Any) -> Any:
    """The tokenizer of a processor: the one that a multimodal model's processor carries, else the processor itself."""
    return getattr(processor, "tokenizer", processor)
