"""Boxes and points of a row: where its texts say them, and where they lie in its images.

Rows have them as ms-swift's do: `objects` with `bbox`, of two numbers for a point or four for two corners; `ref`, what
is named; `bbox_type`, `real` for pixels of the image's file or `norm1` for shares of its width and height; `image_id`,
which image each is of, from 0. Texts have `<bbox>` and `<ref-object>` at their places.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.errors import DataError, choices
from tunesmith.types import Message, Row
from tunesmith_library_formats import BOXES

from tunesmith_library_media.placing import CONVERSATIONS

BOX, REF = BOXES
COLUMNS = ("bbox", "ref", "bbox_type", "image_id")
TYPES = ("real", "norm1")
TEXTS = ("reasoning", "content")
"""Of a message, in the order in which templates write them."""
_SLACK = 1.0  # pixels by which annotations are rounded over an edge


@dataclass(frozen=True)
class Box:
    """A point or a box within an image."""

    corners: tuple[float, ...]  # x and y of the point, or of the corners top left and bottom right
    size: tuple[float, float]  # width and height in the same unit
    image: int  # which of the row's


def boxes_of(row: Row, size_of: Callable[[int], tuple[int, int]]) -> tuple[list[Box], list[str]]:
    """The boxes of a row, and what it names, in the order of their places in its texts.

    Args:
        size_of: width and height of one of the row's images, in pixels.

    Raises: DataError for another number of places than boxes or names, and for boxes that lie in no image.
    """
    objects: Mapping[str, Any] = row.get("objects") or {}
    unknown = next((name for name, held in objects.items() if name not in COLUMNS and held is not None), None)
    if unknown is not None:
        raise DataError(f"`objects.{unknown}` is none of its columns.\n  {choices(str(unknown), COLUMNS)}")
    given, names = list(objects.get("bbox") or ()), [str(name) for name in objects.get("ref") or ()]
    texts = "\n".join(text for message in _messages(row) for text in texts_of(message))
    for mark, found, column in ((BOX, given, "bbox"), (REF, names, "ref")):
        places = texts.count(mark)
        if places != len(found):
            needed = "there must be as many places as there are of them"
            raise DataError(f"the row has {places} × {mark} for {len(found)} in `objects.{column}`; {needed}")
    kind = objects.get("bbox_type") or TYPES[0]
    if kind not in TYPES:
        raise DataError(f"`objects.bbox_type` is {kind!r}; possible are {' and '.join(TYPES)}")
    images = list(objects.get("image_id") or [0] * len(given))
    if len(images) != len(given):
        raise DataError(f"`objects.image_id` has {len(images)} numbers for {len(given)} in `objects.bbox`")
    shown = len(row.get("images") or ())
    boxes = []
    for corners, image in zip(given, images, strict=True):
        if not isinstance(image, int) or not 0 <= image < shown:
            raise DataError(f"the box {corners} is of image {image!r}, and the row has {shown}, counted from 0")
        boxes.append(box_of(corners, size_of(image) if kind == "real" else None, image))
    return boxes, names


def box_of(corners: Any, size: tuple[int, int] | None, image: int) -> Box:
    """A box that lies in its image; what is over its edge by rounding is cut off.

    Args:
        corners: two or four numbers.
        size: of the image, in their unit; None where they go from 0 to 1.

    Raises: DataError for anything else.
    """
    numbers = corners if isinstance(corners, list | tuple) else ()
    if len(numbers) not in (2, 4) or not all(map(_is_number, numbers)):
        raise DataError(f"a box is [x1, y1, x2, y2], a point [x, y], in finite numbers; found {corners!r}")
    width, height = size or (1, 1)
    slack = _SLACK if size else 0.0
    kept = []
    for value, edge in zip(numbers, (width, height) * 2, strict=False):
        if not -slack <= value <= edge + slack:
            where = f"the image, which has {width} × {height} pixels" if size else "0 to 1, as bbox_type=norm1 says"
            raise DataError(f"the box {list(numbers)} lies outside of {where}")
        kept.append(min(max(float(value), 0.0), float(edge)))
    if len(kept) == 4 and (kept[0] > kept[2] or kept[1] > kept[3]):
        raise DataError(f"the box {list(numbers)} ends before it begins; [x1, y1, x2, y2] are top left, bottom right")
    return Box(tuple(kept), (float(width), float(height)), image)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def rewritten(row: Row, write: Callable[[str], str]) -> Row:
    """A row whose texts went through `write`, one after the other, in the order of `CONVERSATIONS`."""
    columns = [name for name in CONVERSATIONS if isinstance(row.get(name), list)]
    return {**row, **{name: [_written(message, write) for message in row[name]] for name in columns}}


def _written(message: Message, write: Callable[[str], str]) -> Message:
    made = {key: _content(message[key], write) for key in TEXTS if message.get(key)}
    return {**message, **made}


def _content(content: Any, write: Callable[[str], str]) -> Any:
    if isinstance(content, str):
        return write(content)
    return [{**part, "text": write(part["text"])} if isinstance(part.get("text"), str) else part for part in content]


def texts_of(message: Mapping[str, Any]) -> Iterator[str]:
    """The texts of a message."""
    for content in (message.get(key) for key in TEXTS):
        if isinstance(content, str):
            yield content
        elif isinstance(content, list):
            yield from (part["text"] for part in content if isinstance(part.get("text"), str))


def _messages(row: Row) -> Iterator[Message]:
    for name in CONVERSATIONS:
        yield from row.get(name) or ()


WRITTEN = re.compile(r'(\\?"(?:bbox_2d|point_2d)\\?"\s*:\s*)(\[[\d.,\s-]+\]|\[(?:\s*\[[\d.,\s-]+\]\s*,?)+\s*\])')
"""A box that is written out in a text, or a list of some, in JSON, also within JSON."""
NUMBERS = re.compile(r"\[([\d.,\s-]+)\]")
"""The numbers of each of them."""


def numbers_in(text: str) -> Sequence[float]:
    """The numbers of a box that is written out. Raises: DataError."""
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise DataError(f"a box is [x1, y1, x2, y2], a point [x, y], in finite numbers; found [{text}]") from None
