"""Responses: streams of events, and whole ones whose client may hang up while they are made."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import StreamingResponse
from pydantic_core import to_json
from tunesmith.errors import TunesmithError

from .errors import ApiError, openai_shape

logger = logging.getLogger("tunesmith")

T = TypeVar("T")


class EventStream(StreamingResponse):
    """Server-sent events. A client that hangs up closes the iterator."""

    def __init__(
        self,
        events: AsyncIterator[bytes],
        headers: Mapping[str, str] | None = None,
        when_closed: Callable[[], object] = lambda: None,
    ) -> None:
        """
        Args:
            when_closed: is called at the end, also where the client was gone before the first event.
        """
        unbuffered = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", **(headers or {})}
        super().__init__(events, media_type="text/event-stream", headers=unbuffered)
        self._when_closed = when_closed

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._when_closed()


event_stream = EventStream


def data(value: Any) -> bytes:
    """An event of OpenAI's streams."""
    return b"data: " + to_json(value) + b"\n\n"


DONE = b"data: [DONE]\n\n"


def _as_data(error: ApiError) -> bytes:
    return data(openai_shape(error))


async def with_errors(
    events: AsyncIterator[bytes], written: Callable[[ApiError], bytes] = _as_data
) -> AsyncIterator[bytes]:
    """A stream in which an error, once it has begun, is its last event; `written` makes one of it."""
    try:
        async for event in events:
            yield event
    except ApiError as error:
        yield written(error)
    except TunesmithError as error:
        yield written(ApiError(500, str(error)))
    except Exception:
        logger.exception("a request failed while it was streamed")
        yield written(ApiError(500, "the server failed to answer this request"))


class HungUp(Exception):
    """The client of a request is gone."""


async def unless_hung_up(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine gives; it is cancelled when the client hangs up.

    Raises: HungUp.
    """
    doing = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((doing, watching), return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            return doing.result()
        raise HungUp
    finally:
        watching.cancel()
        if not doing.done():
            doing.cancel()
            await asyncio.gather(doing, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
