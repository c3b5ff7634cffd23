"""The server's address and its key, checked before anything is sent."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from tunesmith import TunesmithError
from tunesmith.types import Problem


def address_problems(url: str) -> list[Problem]:
    """What is wrong with an address; a key in it is not shown."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, good = urlsplit(""), False
    if parts.username is not None or parts.query or parts.fragment:
        message = "engine.base_url holds more than host and path; it may show a key to whoever reads the file."
        return [Problem("engine.base_url", message, "engine.api_key_env=NAME names the variable that holds the key")]
    if not good or any(character.isspace() for character in url):
        advice = "for example engine.base_url=http://localhost:8000/v1"
        return [Problem("engine.base_url", f"{url} is no address of a server.", advice)]
    return []


def key_problems(variable: str | None) -> list[Problem]:
    """What is wrong with the variable that holds the key; a key in the place of its name is not shown."""
    if variable is None or os.environ.get(variable):
        return []
    if not variable.isidentifier():
        message = "engine.api_key_env is the name of an environment variable, and this is none."
        return [
            Problem("engine.api_key_env", message, "export OPENAI_API_KEY=…, and engine.api_key_env=OPENAI_API_KEY")
        ]
    message = f"the environment variable {variable} is not set, or empty."
    return [Problem("engine.api_key_env", message, f"export {variable}=…; or leave engine.api_key_env out")]


def key_of(variable: str | None) -> str | None:
    """The key that a variable holds.

    Raises: TunesmithError where it holds none, or one that no header can carry.
    """
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key or not key.isascii() or not key.isprintable():
        raise TunesmithError(f"the environment variable {variable} holds no key.\n  export {variable}=…")
    return key
