"""What a request hears that is refused before a route sees it, in the shape of the family that its path belongs to."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from tunesmith_library_serving.asgi import Scope, Send

from tunesmith_command_api.errors import ApiError, openai_shape

_ANTHROPIC = "/v1/messages"
_ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def body_of(path: str, error: ApiError) -> bytes:
    """The JSON of a refusal: OpenAI's shape, or Anthropic's for a path of theirs."""
    return json.dumps(shape_of(path)(error)).encode()


def shape_of(path: str) -> Callable[[ApiError], dict[str, Any]]:
    """How the routes of a path write errors."""
    return anthropic_shape if path.startswith(_ANTHROPIC) else openai_shape


def anthropic_shape(error: ApiError) -> dict[str, Any]:
    """An error as Anthropic's API writes it."""
    kind = _ANTHROPIC_TYPES.get(error.status, "api_error" if error.status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": error.message}}


async def refuse(
    scope: Scope,
    send: Send,
    status: int,
    message: str,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Answer a request with a refusal."""
    body = body_of(scope["path"], ApiError(status, message, code=code))
    told = {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})}
    listed = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in told.items()]
    await send({"type": "http.response.start", "status": status, "headers": listed})
    await send({"type": "http.response.body", "body": body, "more_body": False})
