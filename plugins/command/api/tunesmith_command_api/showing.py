"""Images, videos and sounds of a request, fetched from where the server's owner allows, in the place of addresses."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tunesmith.errors import DataError
from tunesmith.types import Conversation
from tunesmith_library_chat.showing import Item, check_readable
from tunesmith_library_engine.showing import BLIND, kinds_of, told

from .errors import invalid
from .media import MEDIA_TYPES, Media, MediaPolicy, Part, load, parts_of
from .options import ServerOptions


async def with_media(conversation: Conversation, processor: Any, options: ServerOptions) -> Conversation:
    """The same conversation, in which each image, video and sound is the bytes of its file.

    Raises: ApiError that names the part: the model does not take such, or it is not to be had.
    """
    parts = list(parts_of(conversation.messages))
    if not parts:
        return conversation
    kinds = kinds_of(processor)
    for part in parts:
        if part.kind not in kinds:
            message = f"{part.place}: this model takes {told(kinds)}, no {part.kind}{'' if kinds else BLIND}"
            raise invalid(message, part.place, "media_not_supported")
    policy = MediaPolicy(
        tuple(map(Path, options.allow_media_path)),
        options.allow_media_host,
        options.max_media_bytes,
        options.max_media,
        options.media_timeout,
    )
    media = await asyncio.to_thread(load, parts, policy)
    await asyncio.to_thread(_check, parts, media)
    held = iter(media)
    return replace(conversation, messages=[_filled(message, held) for message in conversation.messages])


def _check(parts: Sequence[Part], media: Sequence[Media]) -> None:
    """Raises: ApiError that names the part: it cannot be read as what it is said to be."""
    for part, each in zip(parts, media, strict=True):
        try:
            check_readable(Item(each.kind, each.data))
        except DataError as error:
            raise invalid(f"{part.place}: {error}", part.place, "media_not_readable") from error


def _filled(message: Mapping[str, Any], held: Iterator[Media]) -> dict[str, Any]:
    content = message.get("content")
    if not isinstance(content, list):
        return dict(message)
    parts = [_part(next(held)) if part.get("type") in MEDIA_TYPES else part for part in content]
    return {**message, "content": parts}


def _part(media: Media) -> dict[str, Any]:
    return {"type": media.kind, media.kind: media.data}
