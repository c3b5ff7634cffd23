"""Who may ask: whoever has the key, calls the server by a name of its own, and is no page of a foreign site.

Without a key everything that reaches the address may ask. A page in a browser on this machine reaches 127.0.0.1 too: by
a name that its owner lets point there (DNS rebinding, against which `Host` is looked at), or by a plain request across
sites (against which `Origin` is).
"""

from __future__ import annotations

from collections.abc import Collection

from tunesmith import TunesmithError
from tunesmith_library_serving.asgi import App, Receive, Scope, Send, header
from tunesmith_library_serving.guarding import Secret, bearer, called_right, from_elsewhere, is_loopback

from tunesmith_command_api.refusals import refuse

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


class Guard:
    """Lets through what may ask.

    Args:
        key: what clients must send; None where everybody may ask.
        names: see `tunesmith_library_serving.guarding.own_names`.
        origins: pages that may ask without a key, as browsers name them; `*` is all.
    """

    def __init__(
        self, app: App, *, key: str | None = None, names: Collection[str] | None = None, origins: Collection[str] = ()
    ) -> None:
        self._app, self._names, self._origins = app, names, frozenset(origins)
        self._key = None if key is None else Secret(key)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif not called_right(header(scope, "host"), self._names):
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

    def _has_key(self, scope: Scope) -> bool:
        if self._key is None or scope["path"] in PUBLIC:
            return True
        sent = (bearer(header(scope, "authorization")), header(scope, "x-api-key") or "")
        return any(self._key.is_(one) for one in sent)

    def _from_elsewhere(self, scope: Scope) -> bool:
        """Whether a page asks that is not one of this server's; a page that has the key may."""
        origin = header(scope, "origin")
        if self._key is not None or self._origins & {origin, "*"}:
            return False
        return from_elsewhere(origin, header(scope, "host"))
