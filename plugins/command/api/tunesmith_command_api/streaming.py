"""Responses: streams of events, and whole ones whose client may hang up while they are made."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import StreamingResponse
from tunesmith.errors import TunesmithError

from .errors import ApiError, openai_shape

logger = logging.getLogger("tunesmith")

T = TypeVar("T")


def event_stream(events: AsyncIterator[bytes], headers: Mapping[str, str] | None = None) -> StreamingResponse:
    """Server-sent events. A client that hangs up closes the iterator."""
    unbuffered = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers={**unbuffered, **(headers or {})})


def data(value: Any) -> bytes:
    """An event of OpenAI's streams."""
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


async def with_errors(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A stream in which an error, once it has begun, is its last event, in OpenAI's shape."""
    try:
        async for event in events:
            yield event
    except ApiError as error:
        yield data(openai_shape(error))
    except TunesmithError as error:
        yield data(openai_shape(ApiError(500, str(error))))
    except Exception:
        logger.exception("a request failed while it was streamed")
        yield data(openai_shape(ApiError(500, "the server failed to answer this request")))


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
