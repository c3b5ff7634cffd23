"""Requests passed on to a model's server, and answers back piece by piece; whoever stops reading ends the answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from tunesmith_library_studio.chats.media import PREFIX, MediaFiles
from tunesmith_library_studio.chats.served import Served

_PATIENCE = 10.0  # seconds to be connected in; an answer may take any time


async def relayed(served: Served, media: MediaFiles, body: bytes) -> AsyncIterator[tuple[int, str, bytes]]:
    """See `Chats.ask`. A server that dies in the midst is told of as an error of its own would be."""
    import httpx2

    if PREFIX.encode() in body:
        body = await asyncio.to_thread(_with_media, media, body)
    headers = {"Authorization": f"Bearer {served.key}", "Content-Type": "application/json"}
    timeout = httpx2.Timeout(None, connect=_PATIENCE)
    with served.answering():
        begun = False
        try:
            async with (
                httpx2.AsyncClient(timeout=timeout, trust_env=False, verify=False) as client,
                client.stream("POST", f"{served.url}/v1/chat/completions", content=body, headers=headers) as response,
            ):
                kind = response.headers.get("content-type", "application/json")
                yield response.status_code, kind, b""
                begun = True
                async for piece in response.aiter_raw():
                    yield response.status_code, kind, piece
        except httpx2.TransportError as error:
            told = json.dumps(
                {"error": {"message": f"{served.loaded.source} ended in the midst of its answer: {error}"}}
            )
            if begun:
                yield 200, "text/event-stream", f"\n\ndata: {told}\n\n".encode()
            else:
                yield 502, "application/json", b""
                yield 502, "application/json", told.encode()


def _with_media(media: MediaFiles, body: bytes) -> bytes:
    """The same request with the files that it names in it."""
    request = json.loads(body)
    return json.dumps(_filled(request, media), ensure_ascii=False).encode()


def _filled(value: Any, media: MediaFiles) -> Any:
    if isinstance(value, dict):
        return {key: _filled(each, media) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, media) for each in value]
    if isinstance(value, str) and media.is_address(value):
        return media.data_url(value)
    return value
