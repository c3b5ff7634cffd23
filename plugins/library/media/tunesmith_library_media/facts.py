"""Formulas for the number of tokens of an item, where transformers has them in public; no item is made for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tunesmith_library_media.shapes import Shape

Formula = Callable[[Any, str, Shape], str]
"""Processor, placeholder and shape, to what is written in its place."""


_SPLITTING = (
    *("image_grid_pinpoints", "do_image_splitting", "crop_to_patches", "do_pan_and_scan", "max_image_tiles"),
    *("split_image", "max_patches", "resize_to_max_canvas", "do_split", "slice_mode", "dynamic_hd"),
)
"""What an image processor has that takes a large image apart, so that its tokens depend on the size."""


def formula_of(processor: Any, column: str) -> Formula | None:
    """The formula for the items of a column, by what its processor says of itself; None where it says nothing."""
    if column == "images":
        part, name, formula = processor.image_processor, "get_number_of_image_patches", _by_patches
    elif column == "videos":
        part, name, formula = processor.video_processor, "get_num_of_video_patches", _by_video_patches
    else:
        return None
    known = callable(getattr(part, name, None)) and isinstance(getattr(part, "merge_size", None), int)
    return formula if known else None


def _by_patches(processor: Any, placeholder: str, shape: Shape) -> str:
    """Patches that are merged in squares, a token for each: Qwen-VL, GLM-V and their like."""
    width, height = shape.size
    part = processor.image_processor
    return placeholder * int(part.get_number_of_image_patches(height, width, {}) // part.merge_size**2)


def _by_video_patches(processor: Any, placeholder: str, shape: Shape) -> str:
    """The same of videos, where nothing is written between their frames."""
    width, height = shape.size
    part = processor.video_processor
    patches = part.get_num_of_video_patches(len(shape.frames), height, width, {})
    return placeholder * int(patches // part.merge_size**2)


def has_one_size(image_processor: Any) -> bool:
    """Whether all images are brought to one size, so that they all take the same number of tokens."""
    if any(getattr(image_processor, name, None) for name in _SPLITTING):
        return False
    cropped = getattr(image_processor, "do_center_crop", False) and getattr(image_processor, "crop_size", None)
    size = cropped or (getattr(image_processor, "do_resize", False) and getattr(image_processor, "size", None))
    return bool(size and size.get("height") and size.get("width"))
