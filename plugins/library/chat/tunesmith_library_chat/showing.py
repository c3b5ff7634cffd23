"""Conversations with images, videos and sounds: tokens of the text, and the tensors that a model reads beside them.

One is a part of a message: `{"type": "image", "image": bytes}`, and `video` and `audio` alike. A path is none here:
whoever may have files read says so by reading them, since conversations come from strangers too.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tunesmith.errors import DataError
from tunesmith.types import Message
from tunesmith_library_engine.showing import MEDIA, kinds_of, told

from tunesmith_library_chat.rendering import Rendered
from tunesmith_library_chat.spelling import Control
from tunesmith_library_chat.tokenizers import tokenizer_of
from tunesmith_library_chat.tokenizing import tokenize

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""What images may be written in: decoders that only decode."""

MOST_PIXELS = 64_000_000
"""Of the images of a conversation together; a small file may hold a large one."""

BLIND = (
    ".\n  if it is one that sees, its processor could not be made where it was loaded, and the line "
    '"processor:" of the log then says what to install'
)
"""What is to be said where the tokenizer alone was loaded: of a model that reads text, or for want of a package."""


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
        return shown(processor, rendered, items)
    return list(tokenize(tokenizer_of(processor), [rendered], control=control)[0].ids), {}


def shown(processor: Any, rendered: Rendered, items: Sequence[Item]) -> tuple[list[int], dict[str, Any]]:
    """The tokens of a rendered conversation, in which each item has as many as the model reads, and the tensors.

    Raises: DataError for a model that takes none, for what cannot be read, and for a text that spells control tokens,
        which the processor would take for them.
    """
    kinds = kinds_of(processor)
    if missing := [kind for kind, _ in items if kind not in kinds]:
        raise DataError(f"this model takes {told(kinds)}, and no {MEDIA[missing[0]][0]}{BLIND}")
    if rendered.literal:
        raise DataError("a conversation with images must not spell the tokens by which the template marks its turns")
    images = [item.value for item in items]
    pixels = sum(width * height for width, height in map(size_of, images))
    if pixels > MOST_PIXELS:
        raise DataError(f"the images have {pixels} pixels together; possible: {MOST_PIXELS}")
    pictures = [_decoded(image) for image in images]
    try:
        made = dict(processor(text=[rendered.text], images=pictures, add_special_tokens=False, return_tensors="pt"))
    except ValueError as error:  # the text has another number of places
        raise DataError(f"these images cannot be shown to the model: {error}") from error
    ids: list[int] = made.pop("input_ids")[0].tolist()
    made.pop("attention_mask", None)
    return ids, made


def check_readable(item: Item) -> None:
    """Refuse what cannot be read as what it is said to be, by its head. Raises: DataError."""
    if item.kind == "image":
        size_of(item.value)


def size_of(image: Any) -> tuple[int, int]:
    """Width and height of an image, of which no more than the head is read.

    Raises: DataError for what is no image.
    """
    with _opened(image) as file:
        width, height = file.size
    return width, height


def _decoded(image: bytes) -> Any:
    """An image of PIL, in colours. Raises: DataError for one that is broken."""
    with _opened(image) as file:
        return file.convert("RGB")


@contextlib.contextmanager
def _opened(image: Any) -> Iterator[Any]:
    from PIL import Image

    if not isinstance(image, bytes):
        raise DataError(f"an image is given as the bytes of its file, not as {type(image).__name__}")
    try:
        with Image.open(io.BytesIO(image), formats=FORMATS) as file:
            yield file
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"an image cannot be read ({', '.join(FORMATS)} are possible): {error}") from error
