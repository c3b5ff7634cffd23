"""What a GGUF file says of itself."""

from __future__ import annotations

from pathlib import Path

import gguf


def adds_beginning(file: Path) -> bool:
    """Whether programs put the token of the beginning before a text by themselves."""
    field = gguf.GGUFReader(file).get_field("tokenizer.ggml.add_bos_token")
    return bool(field is not None and field.contents())
