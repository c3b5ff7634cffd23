"""How the next token is chosen: what was asked, over the options, over what the file says of sampling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
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


def chosen(asked: Sampling, defaults: Sampling, own: Sampling, limit: int) -> Sampling:
    """Put together what a request leaves open, with a temperature of 0 where the likeliest token is taken.

    Tokens are drawn when a temperature above 0 is asked, or top_p, top_k or min_p without temperature; greedy at 0; and
    as the file says when none of them is asked.

    Args:
        defaults: the engine's options.
        own: what the file says.
        limit: tokens that the answer may have.
    """
    wanted = {name: _first(getattr(asked, name), getattr(defaults, name)) for name in _KEYS}
    narrowed = any(wanted[name] is not None for name in ("top_p", "top_k", "min_p"))
    filled = {name: _first(value, getattr(own, name)) for name, value in wanted.items()}
    if wanted["temperature"] is None and own.temperature is None:
        filled["temperature"] = 1.0 if narrowed else 0.0
    return replace(asked, max_new_tokens=limit, **filled)


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)
