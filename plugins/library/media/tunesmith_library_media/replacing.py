"""What a model's processor writes in the place of an item: asked once for each size, with a blank item of that size.

Where transformers says in public how many patches a size has (`facts`), no blank is made.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

from tunesmith import DataError

from tunesmith_library_media.facts import Formula, formula_of, has_one_size
from tunesmith_library_media.holding import name_of
from tunesmith_library_media.options import options_of
from tunesmith_library_media.shapes import Shape, blank, call, shape_of

_MOST = 2_048  # sizes that are remembered of a processor; a text may have 20 kB


_DIFFERENT = ((64, 64), (640, 160), (160, 640))  # sizes that are told apart by a processor that tells any apart


class _Known:
    """What is known of a processor's replacements."""

    def __init__(self) -> None:
        self.texts: dict[tuple[str, Shape], str] = {}
        self.formulas: dict[str, Formula | None] = {}
        self.one_size: str | None = None  # what is written for an image of any size

    def text(self, processor: Any, column: str, placeholder: str, shape: Shape) -> str:
        if column not in self.formulas:
            self.formulas[column] = _proven(processor, column, placeholder, shape)
            if column == "images":
                self.one_size = _of_any_size(processor, placeholder)
        formula = self.formulas[column]
        if formula is not None:
            return formula(processor, placeholder, shape)
        if column == "images" and self.one_size is not None:
            return self.one_size
        if (column, shape) not in self.texts:
            if len(self.texts) >= _MOST:
                self.texts.clear()
            self.texts[column, shape] = asked(processor, column, placeholder, shape)
        return self.texts[column, shape]


_known: weakref.WeakKeyDictionary[Any, _Known] = weakref.WeakKeyDictionary()
_knowing = threading.Lock()  # servers ask in several threads


def replacement(processor: Any, column: str, placeholder: str, item: Any) -> str:
    """The text that stands for an item, with a token for each that the model reads of it.

    Args:
        column: images, videos or audios.
        placeholder: what stands for one item in a text, `expanding.placeholders`.
        item: as an example keeps it, or as a row has it.

    Raises: DataError for an item whose size cannot be read, or is none that the model takes.
    """
    shape = shape_of(processor, column, item, options_of(processor))
    try:
        with _knowing:
            return _known.setdefault(processor, _Known()).text(processor, column, placeholder, shape)
    except (ValueError, DataError) as error:  # a picture that is too narrow for the model, say
        kind: Any = column[:-1]
        raise DataError(f"{name_of(item, kind)} cannot be shown to the model: {error}") from error


def asked(processor: Any, column: str, placeholder: str, shape: Shape) -> str:
    """What the processor itself writes in the place of an item of a shape."""
    begin = processor.tokenizer.bos_token or ""  # some processors put it before or behind an item, unless it is there
    media = {column: [[blank(column, shape)]]}
    made = call(processor, [begin + placeholder], media, return_text_replacement_offsets=True, return_tensors="pt")
    offsets = made.get("text_replacement_offsets")
    if offsets and offsets[0]:
        return str(offsets[0][0]["replacement"])
    ids = made["input_ids"][0]
    text: str = processor.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return text.removeprefix(begin)


def _proven(processor: Any, column: str, placeholder: str, shape: Shape) -> Formula | None:
    """The formula for a column that gives what the processor does, for the first shape that was met; None for none."""
    formula = formula_of(processor, column)
    if formula is None or formula(processor, placeholder, shape) != asked(processor, column, placeholder, shape):
        return None
    return formula


def _of_any_size(processor: Any, placeholder: str) -> str | None:
    """What a processor that brings all images to one size writes for each; None for one that tells sizes apart."""
    if not has_one_size(processor.image_processor):
        return None
    texts = {asked(processor, "images", placeholder, Shape(size)) for size in _DIFFERENT}
    return texts.pop() if len(texts) == 1 else None
