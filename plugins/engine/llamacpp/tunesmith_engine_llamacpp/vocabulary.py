"""The tokens of a GGUF file in bytes, for answers that follow a grammar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tunesmith_library_engine.vocabularies import Vocabulary
from tunesmith_library_llamacpp.model import Model

_NO_TEXT = 1 | 8  # llama.cpp's attributes of tokens that are unknown, or control


def vocabulary_of(file: Path, tokenizer: Any) -> Vocabulary:
    """The vocabulary of a file, whose weights are not read.

    Args:
        tokenizer: makes tokens of text.
    """
    with Model(file, only_vocabulary=True) as model:
        attributes = [model.native.llama_vocab_get_attr(model.vocabulary, at) for at in range(model.vocabulary_size)]
        tokens = [model.piece(token) for token in range(model.vocabulary_size)]
    special = frozenset(token for token, attribute in enumerate(attributes) if attribute & _NO_TEXT)

    def encode(text: str) -> list[int]:
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
        return ids

    return Vocabulary(tokens, special, encode)
