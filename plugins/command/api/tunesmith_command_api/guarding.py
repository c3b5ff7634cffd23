"""Who may ask: whoever has the key, calls the server by a name of its own, and is no page of a foreign site.

Without a key everything that reaches the address may ask. A page in a browser on this machine reaches 127.0.0.1 too: by
a name that its owner lets point there (DNS rebinding, against which `Host` is looked at), or by a plain request across
sites (against which `Origin` is).
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from tunesmith import TunesmithError

from tunesmith_command_api.refusals import App, Receive, Scope, Send, header, refuse

KEY_NAMES: tuple[str, ...] = ("TUNESMITH_API_KEY", "API_KEY")
"""Variables of the environment that a key is read from; the first that is set counts."""

PUBLIC = frozenset({"/health"})
"""Paths that need no key: what they tell is no more than that a server is there."""


def check_key(key: str | None) -> None:
    """Raises: TunesmithError for a key that no client could send; the message does not repeat it."""
    if key is None or (key and " " not in key and key.isascii() and key.isprintable()):
        return
    raise TunesmithError(
        "--api-key is no key that a client could send: it is empty, or has characters that a header cannot hold.\n"
        "  possible: printable ASCII without spaces"
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.rstrip(".").lower() == "localhost"


def refuse_open(host: str, key: str | None, insecure: bool) -> None:
    """Refuse to listen where others reach the server, unless they need a key.

    Raises: TunesmithError.
    """
    if key is not None or insecure or is_loopback(host):
        return
    raise TunesmithError(
        f"--host {host} lets every machine that reaches this one use the model, and no key is set.\n"
        f"  set {KEY_NAMES[0]} in the environment to what clients must send as a key\n"
        "  or --insecure, where something else asks who they are"
    )


def own_names(host: str, allowed: Collection[str]) -> frozenset[str] | None:
    """The names that a request may call the server by; None for any, where others reach it anyway.

    Args:
        host: what it listens on.
        allowed: further ones, such as that of a proxy before it.
    """
    if not is_loopback(host) and not allowed:
        return None
    return frozenset({"localhost", host.strip("[]").lower(), *(name.lower() for name in allowed)})


class Guard:
    """Lets through what may ask.

    Args:
        key: what clients must send; None where everybody may ask.
        names: see `own_names`.
        origins: pages that may ask without a key, as browsers name them; `*` is all.
    """

    def __init__(
        self, app: App, *, key: str | None = None, names: Collection[str] | None = None, origins: Collection[str] = ()
    ) -> None:
        self._app, self._names, self._origins = app, names, frozenset(origins)
        self._digest = None if key is None else _digest(key)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif not self._called_right(scope):
            name = header(scope, "host") or ""
            message = f"this server is not called {name!r}; start it with --allow-host NAME if it is"
            await refuse(scope, send, 403, message, "host_not_allowed")
        elif not self._has_key(scope):
            message = "a key is needed: send it as `Authorization: Bearer KEY`, or as `x-api-key: KEY`"
            await refuse(scope, send, 401, message, "invalid_api_key", {"www-authenticate": "Bearer"})
        elif self._from_elsewhere(scope):
            message = "pages of this site may not ask; start the server with --allow-origin ORIGIN if they may"
            await refuse(scope, send, 403, message, "origin_not_allowed")
        else:
            await self._app(scope, receive, send)

    def _called_right(self, scope: Scope) -> bool:
        if self._names is None:
            return True
        name = _name(header(scope, "host") or "")
        return name is not None and (name in self._names or is_loopback(name))

    def _has_key(self, scope: Scope) -> bool:
        """Compared by digests, in a time that tells neither the length of the key nor how much of it was right."""
        if self._digest is None or scope["path"] in PUBLIC:
            return True
        scheme, _, token = (header(scope, "authorization") or "").partition(" ")
        sent = [token.strip() if scheme.lower() == "bearer" else "", header(scope, "x-api-key") or ""]
        return any(hmac.compare_digest(_digest(one), self._digest) for one in sent)

    def _from_elsewhere(self, scope: Scope) -> bool:
        """Whether a page asks that is not one of this server's; a page that has the key may."""
        origin = header(scope, "origin")
        if origin is None or self._digest is not None or self._origins & {origin, "*"}:
            return False
        return urlsplit(origin).netloc.lower() != (header(scope, "host") or "").lower()


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("latin-1", "replace")).digest()


def _name(host: str) -> str | None:
    """The name in a `Host` header, without port; None for what is none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises for what is no number
    except ValueError:
        return None
    if parts.username is not None or parts.path or parts.query or parts.fragment or not parts.hostname:
        return None
    return parts.hostname.rstrip(".").lower()
