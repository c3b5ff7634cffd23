"""What a client is told when its request cannot be answered; each family of routes writes it in its own shape."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class ApiError(Exception):
    """A request that cannot be answered, and why."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        type: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            status: of HTTP.
            param: the field of the request that it is about.
            code: a word that programs compare with, such as `model_not_found`.
            type: the kind of error, by default that of the status.
            headers: of the response.
        """
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.type = type or _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
        self.headers = dict(headers or {})


def invalid(message: object, param: str | None = None, code: str | None = None) -> ApiError:
    """A request that is wrong."""
    return ApiError(HTTPStatus.BAD_REQUEST, str(message), param=param, code=code)


def openai_shape(error: ApiError) -> dict[str, Any]:
    """An error as OpenAI's API writes it."""
    told = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    return {"error": told}
