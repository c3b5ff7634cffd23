"""Who may ask: whoever has the secret, calls the server by a name of its own, and is no page of a foreign site.

A page in a browser on this machine reaches 127.0.0.1 too: by a name that its owner lets point there (DNS rebinding,
against which `Host` is looked at), or by a plain request across sites (against which `Origin` is).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.rstrip(".").lower() == "localhost"


def own_names(host: str, allowed: Collection[str]) -> frozenset[str] | None:
    """The names that a request may call the server by; None for any, where others reach it anyway.

    Args:
        host: what it listens on.
        allowed: further ones, such as that of a proxy before it.
    """
    if not is_loopback(host) and not allowed:
        return None
    return frozenset({"localhost", host.strip("[]").lower(), *(name.lower() for name in allowed)})


def called_right(host: str | None, names: Collection[str] | None) -> bool:
    """Whether a request's `Host` is one of the server's names (see `own_names`), or an address of this machine."""
    if names is None:
        return True
    name = host_name(host or "")
    return name is not None and (name in names or is_loopback(name))


def from_elsewhere(origin: str | None, host: str | None) -> bool:
    """Whether a request's `Origin` is a page of another server than its `Host`."""
    return origin is not None and urlsplit(origin).netloc.lower() != (host or "").lower()


def host_name(host: str) -> str | None:
    """The name in a `Host` header, in small letters and without port; None for what is none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises for what is no number
    except ValueError:
        return None
    if parts.username is not None or parts.path or parts.query or parts.fragment or not parts.hostname:
        return None
    return parts.hostname.rstrip(".").lower()


def bearer(authorization: str | None) -> str:
    """What an `Authorization: Bearer …` header holds, which clients send in UTF-8; empty where it is none."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip().encode("latin-1").decode(errors="replace") if scheme.lower() == "bearer" else ""


class Secret:
    """A key or password. It is kept as a digest, and compared in a time that tells neither its length nor its start."""

    def __init__(self, text: str) -> None:
        self._digest = _digest(text)

    def is_(self, text: str) -> bool:
        """Whether a text is the secret."""
        return hmac.compare_digest(_digest(text), self._digest)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
