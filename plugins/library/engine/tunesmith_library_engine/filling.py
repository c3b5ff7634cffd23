"""What a request leaves open, filled in for engines that read a model's folder themselves, and what the folder says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunesmith.types import Sampling

_NAMES = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")


def filled(asked: Sampling, defaults: Sampling, own: Sampling, limit: int) -> Sampling:
    """What was asked, over the options, over what the model says; with a temperature of 0 where it is greedy.

    Tokens are drawn when a temperature above 0 is asked, or top_p, top_k or min_p without temperature; greedy at 0; and
    as the model says when none of them is asked.

    Args:
        defaults: the engine's options.
        own: what the model's folder says.
        limit: tokens that the answer may have.
    """
    wanted = {name: _first(getattr(asked, name), getattr(defaults, name)) for name in _NAMES}
    narrowed = any(wanted[name] is not None for name in ("top_p", "top_k", "min_p"))
    values = {name: _first(value, getattr(own, name)) for name, value in wanted.items()}
    if wanted["temperature"] is None and own.temperature is None:
        values["temperature"] = 1.0 if narrowed else 0.0
    return replace(asked, max_new_tokens=limit, **values)


def own_sampling(folder: Path) -> Sampling:
    """How a model's generation_config.json draws tokens; nothing where it does not."""
    said = _said(folder)
    if not said.get("do_sample"):
        penalty = said.get("repetition_penalty")
        return Sampling(repetition_penalty=penalty)
    values = {name: said[name] for name in _NAMES if said.get(name) is not None}
    return Sampling(**{"temperature": 1.0, **values})


def own_ends(folder: Path) -> frozenset[int]:
    """The tokens that end every answer, as a model's generation_config.json says."""
    ends = _said(folder).get("eos_token_id")
    return frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends])


def _said(folder: Path) -> Mapping[str, Any]:
    file = folder / "generation_config.json"
    if not file.is_file():
        return {}
    said = json.loads(file.read_text(encoding="utf-8"))
    return said if isinstance(said, dict) else {}


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)
