"""Secrets: what is neither shown nor written, known by the names of keys."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from tunesmith_library_configuration.references import literally, reference_of

_SECRET = re.compile(
    r"^token$|(^|_)(password|secret|credential|authorization)s?$"
    r"|(api|access|secret|private)_key(_id)?$|(api|auth|access|bearer|hub|hf|session|user)_token$",
    re.IGNORECASE,
)


_SECRET_WORD = r"token(?!iz)|secret|passw|passphrase|credential|apikey|(api|access|private|signing|encryption)_?key"
_SECRET_VALUE = re.compile(_SECRET_WORD, re.IGNORECASE)
_SECRET_VARIABLE = re.compile(
    rf"{_SECRET_WORD}|private|auth(?!or)|cookie|session|dsn|webhook|connection_string|database_url|_pwd(_|$)"
    r"|(^|_)(keys?|pat|pw)(_|$)",
    re.IGNORECASE,
)
_SHORTEST = 8  # characters of a value that is looked for in texts; shorter ones are in any text
_PASSWORD = re.compile(r"(\b[a-zA-Z][\w+.-]*://[^/\s:@'\"]*):[^/\s'\"]+(?=@)")
_SIGNED = re.compile(
    r"([?&](?:[\w-]*(?:token|signature|credential|password|secret|api_?key)|key|sig)=)[^&\s'\"#]+", re.IGNORECASE
)


def names_secret(variable: str) -> bool:
    """Whether a variable of the environment is called like one that holds a secret: `HF_TOKEN`, `AWS_ACCESS_KEY_ID`."""
    return bool(_SECRET_VARIABLE.search(variable))


def redacted(config: Mapping[str, Any]) -> dict[str, Any]:
    """The same configuration with secrets hidden, to be shown."""
    return {key: "***" if _secret(key, value) else _inside(value, redacted) for key, value in config.items()}


def without_secrets(config: Mapping[str, Any]) -> dict[str, Any]:
    """The same configuration without secrets, to be written."""
    return {key: _inside(value, without_secrets) for key, value in config.items() if not _secret(key, value)}


def hidden(text: str) -> str:
    """A text that is to be shown without passwords in addresses, and the values of variables that hold secrets."""
    text = _PASSWORD.sub(r"\1", text)
    for variable, value in os.environ.items():
        likely = len(value) >= _SHORTEST and not value.startswith("/") and _SECRET_VALUE.search(variable)
        if likely and value in text:
            text = text.replace(value, f"${{oc.env:{variable}}}")
    return _SIGNED.sub(r"\1***", text)


def _secret(key: Any, value: Any) -> bool:
    return isinstance(value, str) and bool(_SECRET.search(str(key)))


def _inside(value: Any, change: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Any:
    """A value with a change made to the mappings in it, and its texts as they may be seen.

    What came from the environment is the reference again that it was written as.
    """
    if isinstance(value, Mapping):
        return change(value)
    if isinstance(value, list):
        return [_inside(item, change) for item in value]
    reference = reference_of(value)
    if reference is not None:
        return reference
    return hidden(literally(value)) if isinstance(value, str) else value
