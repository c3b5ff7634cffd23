"""What stands around all routes: who may ask, which pages may, how much is read, and what browsers are told.

A page of another site reaches this server too, in the browser of who uses it. So a request must call the server by a
name of its own (DNS rebinding), must not come from another page (`Origin`, `Sec-Fetch-Site`), and, where it changes
something, must have a header that no foreign page can send without being asked for leave (`X-Tunesmith`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from fastapi import HTTPException
from tunesmith import TunesmithError
from tunesmith_library_serving.asgi import App, Receive, Scope, Send, header
from tunesmith_library_serving.guarding import bearer, called_right, from_elsewhere, is_loopback

from .sessions import Access

PASSWORD_NAME = "TUNESMITH_WEBUI_PASSWORD"
"""The variable of the environment that the password is read from."""

_SHORTEST = 8  # characters of a password where other machines reach the page
_BODY = 64 << 20  # bytes of a request; data that is uploaded comes in pieces
_OPEN = frozenset({"/api/session"})  # answers without a password
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


def check_password(host: str, password: str | None) -> None:
    """Raises: TunesmithError where others reach the page and no password, or a short one, keeps them out."""
    if password == "":
        raise TunesmithError(f"the password is empty.\n  set {PASSWORD_NAME} in the environment to one that is not")
    if is_loopback(host) or (password is not None and len(password) >= _SHORTEST):
        return
    found = "no password is set" if password is None else f"the password has fewer than {_SHORTEST} characters"
    raise TunesmithError(
        f"--host {host} lets every machine that reaches this one start programs on it, and {found}.\n"
        f"  set {PASSWORD_NAME} in the environment to what who opens the page must enter\n"
        "  or leave --host out, and reach the page through SSH: ssh -L 7860:127.0.0.1:7860 THIS_MACHINE"
    )


def cookie_name(scope: Scope) -> str:
    """Cookies are of a host, whatever the port: each server has a name of its own."""
    return f"tunesmith-{(scope.get('server') or ('', 0))[1]}"


def token_of(scope: Scope) -> str | None:
    """The token of the session that a request belongs to."""
    try:
        found = SimpleCookie(header(scope, "cookie") or "").get(cookie_name(scope))
    except CookieError:
        return None
    return found.value if found else None


def address_of(scope: Scope) -> str:
    """Where a request comes from."""
    return str((scope.get("client") or ("",))[0])


class Guard:
    """Lets through what may ask, and adds the headers that keep a browser from more than the page needs.

    Args:
        access: the password and the sessions.
        names: what it may be called (see `own_names`); None for anything.
        hosts: names of proxies, whose pages may ask.
        policy: the page's Content-Security-Policy.
    """

    def __init__(
        self,
        app: App,
        *,
        access: Access,
        names: Collection[str] | None,
        hosts: Collection[str],
        policy: str,
    ) -> None:
        self._app, self._access, self._names = app, access, names
        self._hosts = {host.lower() for host in hosts}
        self._headers = _headers(policy)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if scope["type"] == "websocket":
            await (send({"type": "websocket.close", "code": 4401}) if refusal else self._app(scope, receive, send))
        elif refusal:
            await _refuse(self._with_headers(scope, send), *refusal)
        else:
            await self._app(scope, _limited(scope, receive, _BODY), self._with_headers(scope, send))

    def _refusal(self, scope: Scope) -> tuple[int, str, dict[str, str]] | None:
        """Status, message and headers for what may not ask."""
        host = header(scope, "host")
        if not called_right(host, self._names):
            return 403, f"this server is not called {host!r}; start it with --allow-host NAME if it is", {}
        if not scope["path"].startswith("/api"):
            return None
        if self._of_another_page(scope, host):
            return 403, "pages of other sites may not ask", {}
        if self._access.needed and scope["path"] not in _OPEN and (refusal := self._unknown(scope)):
            return refusal
        changes = scope["type"] == "http" and scope["method"] not in _READING
        if changes and header(scope, "x-tunesmith") is None and not bearer(header(scope, "authorization")):
            return 403, "a request that changes something needs the header `X-Tunesmith: 1`", {}
        return None

    def _of_another_page(self, scope: Scope, host: str | None) -> bool:
        origin = header(scope, "origin")
        if origin is not None and urlsplit(origin).hostname in self._hosts:
            return False
        return from_elsewhere(origin, host) or header(scope, "sec-fetch-site") in ("cross-site", "same-site")

    def _unknown(self, scope: Scope) -> tuple[int, str, dict[str, str]] | None:
        if self._access.is_in(token_of(scope)):
            return None
        sent, address = bearer(header(scope, "authorization")), address_of(scope)
        if sent and (seconds := self._access.wait(address)):
            told = str(math.ceil(seconds))
            return 429, f"too many wrong passwords; try again in {told} s", {"retry-after": told}
        if sent and self._access.is_right(sent, address):
            return None
        message = "a password is needed: sign in on the page, or send `Authorization: Bearer PASSWORD`"
        return 401, message, {"www-authenticate": "Bearer"}

    def _with_headers(self, scope: Scope, send: Send) -> Send:
        async def sending(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                there = {name.lower() for name, _ in message["headers"]}
                added = [pair for pair in self._headers if pair[0] not in there]
                if scope["path"].startswith("/api") and b"cache-control" not in there:
                    added.append((b"cache-control", b"no-store"))
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        return sending


def _headers(policy: str) -> list[tuple[bytes, bytes]]:
    told = {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-resource-policy": "same-origin",
    }
    return [(name.encode(), value.encode()) for name, value in told.items()]


async def _refuse(send: Send, status: int, message: str, headers: dict[str, str]) -> None:
    body = json.dumps({"error": {"message": message}}).encode()
    told = {"content-type": "application/json", "content-length": str(len(body)), **headers}
    listed = [(name.encode(), value.encode()) for name, value in told.items()]
    await send({"type": "http.response.start", "status": status, "headers": listed})
    await send({"type": "http.response.body", "body": body})


def _limited(scope: Scope, receive: Receive, most: int) -> Receive:
    """What reads a body as far as it may go."""
    read = 0

    async def receiving() -> MutableMapping[str, Any]:
        nonlocal read
        said = header(scope, "content-length") or ""
        message = await receive()
        read += len(message.get("body", b""))
        if read > most or (said.isdigit() and int(said) > most):
            raise HTTPException(413, f"a request here has at most {most} bytes")
        return message

    return receiving
