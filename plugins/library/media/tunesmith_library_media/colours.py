"""Images of any mode in RGB of 8 bits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tunesmith.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

_WHITE = (255, 255, 255)


def in_colours(picture: Image.Image) -> Image.Image:
    """An image of any mode in RGB: 16 bits become 8, what is transparent is put on white.

    Raises: DataError for numbers that are no brightness.
    """
    from PIL import Image

    if picture.mode in ("RGB", "L", "1"):
        return picture.convert("RGB")
    if picture.mode.startswith(("I", "F")):
        picture = Image.fromarray(_eight_bits(picture))
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        layers = picture.convert("RGBA")
        ground = Image.new("RGBA", layers.size, (*_WHITE, 255))
        return Image.alpha_composite(ground, layers).convert("RGB")
    return picture.convert("RGB")


def _eight_bits(picture: Image.Image) -> Any:
    """Brightness of 16 bits, or from 0 to 1, as uint8 (H, W)."""
    import numpy

    values = numpy.asarray(picture).astype(numpy.float64)
    least, most = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if not (math.isfinite(least) and math.isfinite(most)) or least < 0 or most > 65_535:
        raise DataError(f"its pixels go from {least:g} to {most:g}; possible are 0 to 255, 0 to 65535, 0 to 1")
    if picture.mode == "F":
        scale = 255.0 if most <= 1 else 1.0 if most <= 255 else 1 / 257
    else:
        scale = 1.0 if picture.mode == "I" and most <= 255 else 1 / 257
    return (values * scale).round().astype(numpy.uint8)
