"""The images of a request, fetched from where the server's owner allows, in the place of their addresses."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunesmith.errors import DataError
from tunesmith.types import Conversation
from tunesmith_library_chat.pictures import BLIND, size_of, takes_images

from .errors import invalid
from .media import MEDIA_TYPES, MediaPolicy, load, parts_of
from .options import ServerOptions


async def with_images(conversation: Conversation, processor: Any, options: ServerOptions) -> Conversation:
    """The same conversation, in which each image is the bytes of its file.

    Raises: ApiError that names the part: the model does not take such, or it is not to be had.
    """
    parts = list(parts_of(conversation.messages))
    if not parts:
        return conversation
    takes = "text and images" if takes_images(processor) else "text alone"
    for part in parts:
        if part.kind != "image" or not takes_images(processor):
            told = f"{part.place}: this model takes {takes}, no {part.kind}"
            blind = BLIND if part.kind == "image" else ""
            raise invalid(told + blind, part.place, "media_not_supported")
    policy = MediaPolicy(
        tuple(map(Path, options.allow_media_path)),
        options.allow_media_host,
        options.max_media_bytes,
        options.max_media,
        options.media_timeout,
    )
    media = await asyncio.to_thread(load, parts, policy)
    for part, each in zip(parts, media, strict=True):
        try:
            size_of(each.data)
        except DataError as error:
            raise invalid(f"{part.place}: {error}", part.place, "media_not_readable") from error
    held = iter(each.data for each in media)
    return replace(conversation, messages=[_filled(message, held) for message in conversation.messages])


def _filled(message: Mapping[str, Any], images: Iterator[bytes]) -> dict[str, Any]:
    content = message.get("content")
    if not isinstance(content, list):
        return dict(message)
    parts = [{"type": "image", "image": next(images)} if part.get("type") in MEDIA_TYPES else part for part in content]
    return {**message, "content": parts}
