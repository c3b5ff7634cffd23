"""The two ways that clients reach the server: standard input and output, or HTTP on this machine."""

from __future__ import annotations

import json
import os

from tunesmith_library_serving.asgi import App, Receive, Scope, Send, header
from tunesmith_library_serving.guarding import Secret, bearer, called_right, from_elsewhere, own_names
from tunesmith_library_serving.listening import address, bound
from tunesmith_library_studio import Studio

from .server import make_server

PASSWORD_NAME = "TUNESMITH_MCP_PASSWORD"
"""The variable of the environment that the password of --http is read from."""

_HOST = "127.0.0.1"


def over_standard_input(studio: Studio, read_only: bool) -> None:
    """Serve the one client that started this process, until it closes the input."""
    studio.begin()
    make_server(studio, read_only).run("stdio")


def over_http(studio: Studio, read_only: bool, port: int) -> None:
    """Serve clients on this machine at /mcp, until the user ends it.

    Raises: TunesmithError where the port is taken.
    """
    import uvicorn
    from tunesmith.cli.output import say

    password = os.environ.pop(PASSWORD_NAME, None)  # no run inherits it
    with bound(_HOST, port) as listening:
        studio.begin()
        made = make_server(studio, read_only).streamable_http_app(host=_HOST)
        app = Guard(made, password)
        say(f"serving {address(_HOST, listening.getsockname()[1])}/mcp", err=True)
        config = uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=1)
        uvicorn.Server(config).run([listening])


class Guard:
    """Lets through what calls the server by its own name, is no page of another site, and knows the password."""

    def __init__(self, app: App, password: str | None) -> None:
        self._app, self._names = app, own_names(_HOST, ())
        self._secret = Secret(password) if password else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, receive, send)
            return
        status, message = refusal
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps({"error": {"message": message}}).encode()})

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        host = header(scope, "host")
        if not called_right(host, self._names) or from_elsewhere(header(scope, "origin"), host):
            return 403, "pages of other sites, and other names of this machine, may not ask"
        if self._secret and not self._secret.is_(bearer(header(scope, "authorization"))):
            return 401, "send `Authorization: Bearer PASSWORD`"
        return None
