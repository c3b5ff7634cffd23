"""Conversations with images: the model's processor makes tokens of the text and tensors of the images together.

An image is a part of a message: `{"type": "image", "image": bytes}`. A path is none here: whoever may have files read
says so by reading them, since conversations come from strangers too.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tunesmith.errors import DataError
from tunesmith.types import Message

from tunesmith_library_chat.rendering import Rendered

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""What images may be written in: decoders that only decode."""

MOST_PIXELS = 64_000_000
"""Of the images of a conversation together; a small file may hold a large one."""

BLIND = (
    ".\n  if it is one that sees, its processor could not be made where it was loaded, and the line "
    '"processor:" of the log then says what to install'
)
"""What is to be said where the tokenizer alone was loaded: of a model that reads text, or for want of a package."""


def images_of(messages: Sequence[Message]) -> list[Any]:
    """The images of messages, in their order.

    Raises: DataError for parts that are neither text nor image.
    """
    found = []
    for message in messages:
        content = message.get("content")
        for part in content if isinstance(content, list) else []:
            kind = part.get("type") if isinstance(part, Mapping) else None
            if kind == "image":
                found.append(part.get("image"))
            elif kind != "text":
                raise DataError(f"only text and images can be answered, not {kind}")
    return found


def without_images(messages: Sequence[Message]) -> list[Message]:
    """The same messages with the places of images alone, as templates write them."""
    return [
        {**message, "content": [_place(part) for part in message["content"]]}
        if isinstance(message.get("content"), list)
        else message
        for message in messages
    ]


def _place(part: Any) -> Any:
    return {"type": "image"} if isinstance(part, Mapping) and part.get("type") == "image" else part


def takes_images(processor: Any) -> bool:
    """Whether a model can be shown images."""
    return getattr(processor, "image_processor", None) is not None


def shown(processor: Any, rendered: Rendered, images: Sequence[Any]) -> tuple[list[int], dict[str, Any]]:
    """The tokens of a rendered conversation, in which each image has as many as the model reads, and the tensors.

    Args:
        images: bytes of files, one for each place that the text has.

    Raises: DataError for a model that takes none, for what is no image, and for a text that spells control tokens,
        which the processor would take for them.
    """
    if not takes_images(processor):
        raise DataError(f"this model takes text alone, and no images{BLIND}")
    if rendered.literal:
        raise DataError("a conversation with images must not spell the tokens by which the template marks its turns")
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
