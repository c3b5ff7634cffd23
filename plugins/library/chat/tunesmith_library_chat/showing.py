"""Conversations with images, videos and sounds: tokens of the text, and the tensors that a model reads beside them.

One is a part of a message: `{"type": "image", "image": bytes}`, and `video` and `audio` alike. A path is none here:
whoever may have files read says so by reading them, since conversations come from strangers too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tunesmith.errors import DataError
from tunesmith.types import Message
from tunesmith_library_engine.showing import BLIND, MEDIA, kinds_of, told

from tunesmith_library_chat.rendering import Rendered
from tunesmith_library_chat.spelling import Control
from tunesmith_library_chat.tokenizers import tokenizer_of
from tunesmith_library_chat.tokenizing import tokenize

if TYPE_CHECKING:
    from tunesmith_library_media.options import MediaOptions

_A = {"image": "an image", "video": "a video", "audio": "a sound"}

MOST_PIXELS = 64_000_000
"""Of the images of a conversation together; a small file may hold a large one."""

MOST_FRAME_PIXELS = 400_000_000
"""Of the frames that are shown of the videos of a conversation together."""

MOST_SECONDS = 3600
"""Of the sounds of a conversation together."""


class Item(NamedTuple):
    """What a message holds beside text."""

    kind: str  # of `MEDIA`
    value: Any  # bytes of a file


def items_of(messages: Sequence[Message]) -> list[Item]:
    """The images, videos and sounds of messages, in their order.

    Raises: DataError for parts that are neither these nor text.
    """
    found = []
    for message in messages:
        content = message.get("content")
        for part in content if isinstance(content, list) else []:
            kind = part.get("type") if isinstance(part, Mapping) else None
            if kind in MEDIA:
                found.append(Item(str(kind), part.get(kind)))
            elif kind != "text":
                raise DataError(f"only text, images, videos and sounds can be answered, not {kind}")
    return found


def without_items(messages: Sequence[Message]) -> list[Message]:
    """The same messages with the places of images, videos and sounds alone, as templates write them."""
    return [
        {**message, "content": [_place(part) for part in message["content"]]}
        if isinstance(message.get("content"), list)
        else message
        for message in messages
    ]


def _place(part: Any) -> Any:
    kind = part.get("type") if isinstance(part, Mapping) else None
    return {"type": kind} if kind in MEDIA else part


def prompt_of(
    processor: Any, rendered: Rendered, items: Sequence[Item], control: Control
) -> tuple[list[int], dict[str, Any]]:
    """The tokens of a rendered conversation, and the tensors that a model reads beside them.

    Args:
        items: one for each place that the text has.
        control: what the conversation may spell as text only.

    Raises: DataError, as `shown` does.
    """
    if items:
        return shown(processor, rendered, items, control)
    return list(tokenize(tokenizer_of(processor), [rendered], control=control)[0].ids), {}


def shown(
    processor: Any, rendered: Rendered, items: Sequence[Item], control: Control
) -> tuple[list[int], dict[str, Any]]:
    """The tokens of a rendered conversation, in which each item has as many as the model reads, and the tensors.

    Raises: DataError for a model that takes none, for what cannot be read or is too large, and for another number of
        places in the text than items.
    """
    kinds = kinds_of(processor)
    if missing := [kind for kind, _ in items if kind not in kinds]:
        blind = "" if kinds else BLIND
        raise DataError(f"this model takes {told(kinds)}, and no {MEDIA[missing[0]][0]}{blind}")
    import torch
    from tunesmith_library_media.expanding import expanded
    from tunesmith_library_media.options import options_of
    from tunesmith_library_media.tensors import tensors_of

    _check_sizes(items, options_of(processor))
    row = {column: [item.value for item in items if item.kind == kind] for kind, (column, _) in MEDIA.items()}
    whole = expanded(processor, rendered, row)
    ids = list(tokenize(tokenizer_of(processor), [whole], control=control)[0].ids)
    return ids, tensors_of(processor, [row], {"input_ids": torch.tensor([ids])})


def check_readable(item: Item) -> None:
    """Refuse what cannot be read as what it is said to be, by its head.

    Raises: DataError, also for what is not the bytes of a file.
    """
    from tunesmith_library_media.items import audio_facts, image_size, video_facts

    kind, value = item
    if not isinstance(value, bytes):
        raise DataError(f"{_A[kind]} is given as the bytes of its file, not as {type(value).__name__}")
    {"image": image_size, "video": video_facts, "audio": audio_facts}[kind](value)


def _check_sizes(items: Sequence[Item], options: MediaOptions) -> None:
    """Refuse what would take too much memory. Raises: DataError, as `check_readable` does."""
    from tunesmith_library_media.items import audio_facts, frames_shown, image_size, limited, video_facts

    pixels, frame_pixels, seconds = 0, 0, 0.0
    for item in items:
        check_readable(item)
        if item.kind == "image":
            pixels += math.prod(image_size(item.value))
        elif item.kind == "audio":
            seconds += min(audio_facts(item.value).seconds, options.audio_max_seconds or math.inf)
        else:
            facts = video_facts(item.value)
            size = limited((facts.width, facts.height), options.video_min_pixels, options.video_max_pixels)
            frame_pixels += math.prod(size) * len(frames_shown(facts, options.video_fps, options.video_max_frames))
    if pixels > MOST_PIXELS:
        raise DataError(f"the images have {pixels} pixels together; possible: {MOST_PIXELS}")
    if frame_pixels > MOST_FRAME_PIXELS:
        raise DataError(
            f"the frames that are shown have {frame_pixels} pixels together; possible: {MOST_FRAME_PIXELS}.\n"
            "  show fewer or smaller ones: model.media.video_max_frames, model.media.video_max_pixels"
        )
    if seconds > MOST_SECONDS:
        raise DataError(
            f"the sounds have {seconds:.0f} seconds together; possible: {MOST_SECONDS}.\n"
            "  play the beginning alone: model.media.audio_max_seconds"
        )
