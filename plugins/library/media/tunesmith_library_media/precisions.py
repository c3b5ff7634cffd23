"""Towers and language models in different numbers, for models that take one for the other's.

SmolVLM brings what its tower sees to its own dtype, by which transformers means that of its first weights: the tower's.
Where the language model alone is trained, its weights may have more bits, and the two do not go into one tensor.
"""

from __future__ import annotations

from typing import Any

import torch

_KINDS = ("SmolVLMModel",)


def watch(model: torch.nn.Module) -> None:
    """Let `model`, transformers' base model, bring what it sees to the dtype of its text."""
    kind = type(model)
    if kind.__name__ in _KINDS:
        names = {"dtype": property(_of_text), "__module__": kind.__module__}
        model.__class__ = type(kind.__name__, (kind,), names)


def _of_text(model: Any) -> torch.dtype:
    dtype: torch.dtype = model.get_input_embeddings().weight.dtype
    return dtype
