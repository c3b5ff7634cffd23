"""What a GGUF file says of sampling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tunesmith.types import Sampling

_KEYS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "temperature": ("general.sampling.temp", float),
    "top_p": ("general.sampling.top_p", float),
    "top_k": ("general.sampling.top_k", int),
    "min_p": ("general.sampling.min_p", float),
    "repetition_penalty": ("general.sampling.penalty_repeat", float),
}


def own_sampling(metadata: Mapping[str, str]) -> Sampling:
    """What a file says of sampling."""
    return Sampling(**{name: read(metadata[key]) for name, (key, read) in _KEYS.items() if key in metadata})
