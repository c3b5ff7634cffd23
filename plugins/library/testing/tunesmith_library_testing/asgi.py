"""Calls an ASGI application without a server: a request goes in, status, headers and body come out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any


class Reply:
    """What an application sent."""

    def __init__(self, sent: Sequence[Mapping[str, Any]]) -> None:
        nothing: Mapping[str, Any] = {"status": None, "headers": []}
        start = next((each for each in sent if each["type"] == "http.response.start"), nothing)
        self.status = start["status"]
        self.headers = {name.decode(): value.decode() for name, value in start["headers"]}
        self.body = b"".join(each.get("body", b"") for each in sent)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    app: Any, path: str = "/v1/models", *, method: str = "GET", body: Sequence[bytes] = (b"",), **headers: str
) -> Reply:
    """Send one request, its body in parts; `x_api_key=…` is the header `x-api-key`."""
    given = {name.replace("_", "-"): value for name, value in {"host": "127.0.0.1:8000", **headers}.items()}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items()],
        "state": {},
    }
    return asyncio.run(_called(app, scope, list(body)))


async def _called(app: Any, scope: dict[str, Any], parts: list[bytes]) -> Reply:
    sent: list[Mapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not parts:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return Reply(sent)


async def heard(scope: Any, receive: Any, send: Any) -> None:
    """An application that answers with the body that it was sent."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body, "more_body": False})
