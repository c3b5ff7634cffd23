"""How the publishers of families write boxes and points in texts: in which form, and in which coordinates.

What a row says of its images in `objects` (`boxes`) is written in the model's own way when it is encoded. Forms with
control tokens have a stand-in for their `<` until the conversation is rendered: what a conversation itself spells of
such tokens stays text.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tunesmith.errors import DataError
from tunesmith.types import Row

from tunesmith_library_media.boxes import (
    BOX,
    NUMBERS,
    REF,
    WRITTEN,
    Box,
    box_of,
    boxes_of,
    numbers_in,
    rewritten,
    texts_of,
)
from tunesmith_library_media.images import image_size, limited
from tunesmith_library_media.options import options_of
from tunesmith_library_media.placing import CONVERSATIONS

STAND_IN = "box_stand_in"
"""The column of a row whose boxes are written: the character that stands for the `<` of their control tokens."""
_MARKS = re.compile(f"({BOX}|{REF})")
_STAND_INS = [chr(number) for number in range(0xFDD0, 0xFDE0)]  # Unicode noncharacters, which hardly any text holds


@dataclass(frozen=True)
class Grounding:
    """How boxes and points are written."""

    told: str  # its coordinates, in words
    scale: int | None = None  # the number of the far edge; None counts pixels of the image as it is shown
    most: int | None = None  # the largest number that is written, where that is less
    box: str = "[{x1}, {y1}, {x2}, {y2}]"
    point: str = "[{x1}, {y1}]"
    ref: str = "{ref}"

    def written(self, box: Box, size: tuple[int, int] | None) -> str:
        """A box or a point as text.

        Args:
            size: of the image as it is shown, for those that count its pixels.
        """
        edges = (size or (0, 0)) if self.scale is None else (self.scale, self.scale)
        found = {}
        for place, value in enumerate(box.corners):
            number = round(value * edges[place % 2] / box.size[place % 2])
            found["xy"[place % 2] + "12"[place // 2]] = number if self.most is None else min(number, self.most)
        return (self.box if len(box.corners) == 4 else self.point).format(**found)


THOUSANDTHS = Grounding("thousandths of the image", scale=1000)
_PIXELS = Grounding("pixels of the image as it is shown")
_QWEN2_VL = Grounding(  # arXiv 2409.12191, section 2.2: "normalized within [0, 1000)"
    THOUSANDTHS.told,
    scale=1000,
    most=999,
    box="<|box_start|>({x1},{y1}),({x2},{y2})<|box_end|>",
    point="<|box_start|>({x1},{y1})<|box_end|>",
    ref="<|object_ref_start|>{ref}<|object_ref_end|>",
)
_INTERNVL = Grounding(  # internvl.readthedocs.io, chat data format, grounding
    THOUSANDTHS.told,
    scale=1000,
    box="<box>[[{x1}, {y1}, {x2}, {y2}]]</box>",
    point="<box>[[{x1}, {y1}]]</box>",
    ref="<ref>{ref}</ref>",
)
_GLM = Grounding(  # github.com/zai-org/GLM-V, README, grounding
    THOUSANDTHS.told,
    scale=1000,
    box="<|begin_of_box|>[{x1}, {y1}, {x2}, {y2}]<|end_of_box|>",
    point="<|begin_of_box|>[{x1}, {y1}]<|end_of_box|>",
)
_PALIGEMMA = Grounding(  # big_vision, pp/proj/paligemma/segmentation.py: round(1023 × share), y first
    "`<loc0000>` to `<loc1023>`, y first",
    scale=1023,
    box="<loc{y1:04d}><loc{x1:04d}><loc{y2:04d}><loc{x2:04d}>",
    point="<loc{y1:04d}><loc{x1:04d}>",
)

OF_PROCESSORS: Mapping[str, Grounding] = {
    "Qwen2VLProcessor": _QWEN2_VL,
    "Qwen2_5_VLProcessor": _PIXELS,  # github.com/QwenLM/Qwen3-VL, issues 940 and 1427: of the image that goes in
    "Qwen2_5OmniProcessor": _PIXELS,
    "Qwen3VLProcessor": THOUSANDTHS,  # the same, issue 1741
    "InternVLProcessor": _INTERNVL,
    **dict.fromkeys(("Glm4vProcessor", "Glm46VProcessor"), _GLM),
    "PaliGemmaProcessor": _PALIGEMMA,
}
"""How families write boxes, by their processor's class in transformers."""


def grounding_of(processor: Any) -> Grounding | None:
    """How boxes are written for a model; None where nothing says it."""
    if options_of(processor).boxes == "thousandths":
        return THOUSANDTHS
    return next(
        (OF_PROCESSORS[each.__name__] for each in type(processor).__mro__ if each.__name__ in OF_PROCESSORS), None
    )


def grounded(row: Row, processor: Any) -> Row:
    """A row whose boxes are written in its texts as the model has them. One without boxes stays as it is.

    Args:
        row: as `placed` gives it, with `objects`, or with `boxes: pixels` where its texts have boxes in pixels of the
            image's file.
        processor: of the model; its options limit sizes.

    Returns: the same with `STAND_IN`, where boxes have control tokens (`with_tokens`).
    Raises: DataError for boxes that lie in no image, for another number of places than boxes, and for a model of which
        nothing says how it has them.
    """
    kept = {name: value for name, value in row.items() if name not in ("objects", "boxes")}
    if row.get("boxes") == "pixels":
        kept = rewritten(kept, lambda text: WRITTEN.sub(lambda found: _converted(found, row, processor), text))
    if not row.get("objects"):
        return kept if len(kept) < len(row) else row
    boxes, names = boxes_of(row, lambda image: image_size(row["images"][image]))
    form, stand_in = _needed(processor), _free(row)
    written = iter([form.written(box, _shown(processor, form, row, box.image)) for box in boxes])
    named = iter(names)

    def write(text: str) -> str:
        pieces = _MARKS.split(text)
        return "".join(_piece(piece, form, written, named, stand_in) for piece in pieces)

    return {**rewritten(kept, write), STAND_IN: stand_in}


def with_tokens(text: str, row: Mapping[str, Any]) -> str:
    """A rendered text in which the control tokens of boxes are such, of the same length."""
    stand_in = row.get(STAND_IN)
    return text.replace(stand_in, "<") if stand_in else text


def _piece(piece: str, form: Grounding, written: Iterator[str], named: Iterator[str], stand_in: str) -> str:
    """A mark as the model has it; other text as it is."""
    if piece == BOX:
        return next(written).replace("<", stand_in)
    if piece == REF:
        before, _, behind = form.ref.partition("{ref}")
        return f"{before.replace('<', stand_in)}{next(named)}{behind.replace('<', stand_in)}"
    return piece


def _needed(processor: Any) -> Grounding:
    form = grounding_of(processor)
    if form is None:
        raise DataError(
            f"nothing says how models with a {type(processor).__name__} write boxes.\n"
            "  model.media.boxes=thousandths writes [x1, y1, x2, y2] in thousandths of the image"
        )
    return form


def _free(row: Row) -> str:
    """A character that stands in no text of a row. Raises: DataError."""
    texts = [text for name in CONVERSATIONS for message in row.get(name) or () for text in texts_of(message)]
    texts += [str(name) for name in row["objects"].get("ref") or ()]
    free = next((each for each in _STAND_INS if not any(each in text for text in texts)), None)
    if free is None:
        raise DataError("the texts of the row hold all of U+FDD0 to U+FDDF, of which its boxes need one")
    return free


def _converted(found: re.Match[str], row: Row, processor: Any) -> str:
    """A box that is written out in pixels of the image's file, in the model's coordinates."""
    images: Sequence[Any] = row.get("images") or ()
    if len(images) != 1:  # else nothing says which a box is of
        raise DataError(
            f"the texts have {found.group().strip()} in pixels, and the row {len(images)} images; it must have one.\n"
            "  `objects` with `image_id` says which image a box is of"
        )
    form = _needed(processor)
    plain, size = Grounding(form.told, form.scale, form.most), image_size(images[0])
    shown = _shown(processor, form, row, 0)
    return found[1] + NUMBERS.sub(lambda box: plain.written(box_of(numbers_in(box[1]), size, 0), shown), found[2])


def _shown(processor: Any, form: Grounding, row: Row, image: int) -> tuple[int, int] | None:
    """Width and height of an image as its processor shows it; None where boxes do not depend on it.

    Raises: DataError for one that it cannot show.
    """
    if form.scale is not None:
        return None
    options, part = options_of(processor), processor.image_processor
    width, height = limited(image_size(row["images"][image]), options.image_min_pixels, options.image_max_pixels)
    limits = {"min_pixels": part.size["shortest_edge"], "max_pixels": part.size["longest_edge"]}
    try:
        resized = sys.modules[type(part).__module__].smart_resize(
            height, width, part.patch_size * part.merge_size, **limits
        )
    except ValueError as error:
        raise DataError(f"image {image} of the row cannot be shown to the model: {error}") from error
    return resized[1], resized[0]
