"""Every request has an id and a line in the log, which says nothing of what was asked or answered."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import MutableMapping
from typing import Any

from tunesmith_library_serving.asgi import App, Receive, Scope, Send, header

from tunesmith_command_api.errors import ApiError
from tunesmith_command_api.metrics import Metrics, arrived
from tunesmith_command_api.refusals import body_of

logger = logging.getLogger("tunesmith.api")

_ID = re.compile(r"[\x21-\x7e]{1,128}")  # of a client, that may go into a header and a line
_HUNG_UP = 499  # what nginx writes into its log for a client that does not wait for its answer


class Watch:
    """Counts and logs requests, and keeps the exception of one from whatever else is answered.

    Args:
        metrics: where they are counted.
    """

    def __init__(self, app: App, *, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        arrived.set(began)
        given = header(scope, "x-request-id") or ""
        request_id = given if _ID.fullmatch(given) else f"req_{uuid.uuid4().hex}"
        scope.setdefault("state", {})["request_id"] = request_id
        sent = _Sent(send, request_id)
        try:
            await self._app(scope, receive, sent)
        except Exception:
            logger.exception("request %s failed", request_id)
            if sent.status is None:
                await _say_failed(scope, sent)
            elif not sent.whole:
                raise  # half an answer went out, and the connection ends with it
        finally:
            self._count(scope, sent.status if sent.whole else _HUNG_UP, time.perf_counter() - began, request_id)

    def _count(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        route = getattr(scope.get("route"), "path", "other")
        self._metrics.requests.labels(route, str(status)).inc()
        self._metrics.duration.labels(route).observe(seconds)
        path = (scope.get("raw_path") or scope["path"].encode()).decode("ascii", "replace")
        logger.info("%s %s %d %.3f s %s", scope["method"], path[:200], status, seconds, request_id)


class _Sent:
    """What goes out, with the request's id among the headers."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send, self._id = send, request_id
        self.status: Any = None
        self.whole = False

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [pair for pair in message.get("headers", []) if pair[0].lower() != b"x-request-id"]
            message = {**message, "headers": [*headers, (b"x-request-id", self._id.encode("latin-1"))]}
        elif message["type"] == "http.response.body":
            self.whole = not message.get("more_body", False)
        await self._send(message)


async def _say_failed(scope: Scope, send: Send) -> None:
    body = body_of(scope["path"], ApiError(500, "the server failed with this request; its log says how"))
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
