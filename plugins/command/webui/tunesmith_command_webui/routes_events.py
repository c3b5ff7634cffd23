"""What changes, as server-sent events, and as messages of a websocket: a browser has few connections for events."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse
from tunesmith_library_studio import Studio
from tunesmith_library_studio.topics import Message

_MOST = 200  # topics of one listener
_QUIET = 15.0  # seconds after which a stream says that it is still there


def router(studio: Studio) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["events"])

    @routes.get("/events")
    async def events(
        topics: Annotated[str, Query(description="separated by commas: jobs,run:NAME")],
    ) -> StreamingResponse:
        """Server-sent events: `event` is the type, `data` is JSON with `topic`, `type`, `data`."""
        return StreamingResponse(_lines(studio, topics.split(",")[:_MOST]), media_type="text/event-stream")

    @routes.websocket("/socket")
    async def socket(connection: WebSocket) -> None:
        """The same messages. A client sends `{"topics": […]}`, again whenever it listens to others."""
        await connection.accept()
        telling: asyncio.Task[None] | None = None
        try:
            while (topics := _wanted(await connection.receive_text())) is not None:
                if telling:
                    telling.cancel()
                telling = asyncio.create_task(_tell(studio, connection, topics))
            await connection.close(1003, 'a message is {"topics": [NAME, …]}')
        except WebSocketDisconnect:
            pass
        finally:
            if telling:
                telling.cancel()

    return routes


def _wanted(text: str) -> list[str] | None:
    """The topics that a client's message names; None for what is no such message."""
    try:
        topics = json.loads(text)["topics"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return topics[:_MOST] if isinstance(topics, list) and all(isinstance(topic, str) for topic in topics) else None


async def _tell(studio: Studio, connection: WebSocket, topics: list[str]) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # the client has gone, which `socket` hears too
        async with contextlib.aclosing(studio.topics.listen(topics)) as listening:
            async for message in listening:
                await connection.send_text(_text(message))


async def _lines(studio: Studio, topics: list[str]) -> AsyncIterator[str]:
    async with contextlib.aclosing(studio.topics.listen(topics)) as listening:
        coming = asyncio.ensure_future(anext(listening))
        try:
            while True:
                done, _ = await asyncio.wait([coming], timeout=_QUIET)
                if not done:
                    yield ": still here\n\n"
                    continue
                message = coming.result()
                yield f"event: {message.type}\ndata: {_text(message)}\n\n"
                coming = asyncio.ensure_future(anext(listening))
        finally:
            coming.cancel()
            await asyncio.wait([coming])


def _text(message: Message) -> str:
    text = json.dumps({"topic": message.topic, "type": message.type, "data": message.data}, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode()
