"""Secrets: what is neither shown nor written, known by the names of keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

_SECRET = re.compile(
    r"^token$|(^|_)(password|secret|credential|authorization)s?$"
    r"|(api|access|secret|private)_key(_id)?$|(api|auth|access|bearer|hub|hf|session|user)_token$",
    re.IGNORECASE,
)


def redacted(config: Mapping[str, Any]) -> dict[str, Any]:
    """The same configuration with the values of secrets hidden, to be shown."""
    return {key: "***" if _secret(key, value) else _inside(value, redacted) for key, value in config.items()}


def without_secrets(config: Mapping[str, Any]) -> dict[str, Any]:
    """The same configuration without secrets, to be written."""
    return {key: _inside(value, without_secrets) for key, value in config.items() if not _secret(key, value)}


def _secret(key: Any, value: Any) -> bool:
    return isinstance(value, str) and bool(_SECRET.search(str(key)))


def _inside(value: Any, change: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Any:
    """A value with a change made to the mappings in it."""
    if isinstance(value, Mapping):
        return change(value)
    return [_inside(item, change) for item in value] if isinstance(value, list) else value
