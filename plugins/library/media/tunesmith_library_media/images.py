"""Images: their size from the head of the file alone, and their pixels, upright and in colours."""

from __future__ import annotations

import contextlib
import io
import math
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.errors import DataError
from tunesmith_library_formats import count

from tunesmith_library_media.colours import in_colours
from tunesmith_library_media.holding import beginning, name_of, source_of

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
"""What images may be written in: decoders that only decode."""

ANIMATED = "have an image of several frames or pages, of which the first is shown"
_LYING = (5, 6, 7, 8)  # orientations of EXIF that stand on a side
_ORIENTATION = 0x0112
_TAIL = 64  # bytes in which a whole file ends


def image_size(item: Any) -> tuple[int, int]:
    """Width and height as the image is shown: upright, as its EXIF says.

    No more than the head is decoded, unless the file does not end as whole ones do. Of several frames or pages the
    first is meant, which is counted.

    Raises: DataError for what is no image, is cut off, or has more pixels than may be decoded.
    """
    with _opened(item) as picture:
        if getattr(picture, "is_animated", False) and picture.format != "MPO":  # phones put a second view there
            count(ANIMATED, first=name_of(item, "image"))
        width, height = picture.size
        lying = _orientation(picture) in _LYING
        if not _ends_well(source_of(item, "image"), str(picture.format)):
            picture.seek(0)
            picture.load()
    return (height, width) if lying else (width, height)


def load_image(item: Any, min_pixels: int | None = None, max_pixels: int | None = None) -> Image.Image:
    """The image of a file: upright, in RGB, what is transparent on white.

    Args:
        min_pixels, max_pixels: see `limited`.

    Raises: DataError for what is no image, or a broken one.
    """
    from PIL import ImageOps

    with _opened(item) as picture:
        turned = _orientation(picture) != 1
        picture.seek(0)
        picture.load()
        made = ImageOps.exif_transpose(picture) if turned else picture
        colours = in_colours(made)
    size = limited(colours.size, min_pixels, max_pixels)
    return colours if size == colours.size else colours.resize(size)


def limited(size: tuple[int, int], min_pixels: int | None, max_pixels: int | None) -> tuple[int, int]:
    """Width and height within limits, in their proportions as far as whole pixels allow.

    Args:
        min_pixels, max_pixels: that width × height may have; None for no limit.
    """
    width, height = size
    factor = 1.0
    if max_pixels is not None and width * height > max_pixels:
        factor = math.sqrt(max_pixels / (width * height))
    elif min_pixels is not None and width * height < min_pixels:
        factor = math.sqrt(min_pixels / (width * height))
    return (width, height) if factor == 1 else (max(1, int(width * factor)), max(1, int(height * factor)))


def _orientation(picture: Image.Image) -> int:
    """How the image lies, as its EXIF says; 1 is upright, also where that cannot be read."""
    if picture.format == "PNG" and not {"exif", "Raw profile type exif"} & picture.info.keys():
        return 1  # PIL would decode the whole image to look for it behind the pixels
    try:
        found = picture.getexif().get(_ORIENTATION, 1)
    except Exception:  # whatever a broken EXIF makes PIL say, an image with one is shown as it lies
        return 1
    return found if found in range(1, 9) else 1


@contextlib.contextmanager
def _opened(item: Any) -> Iterator[Image.Image]:
    """
    Raises: DataError for what is no image, also when that shows only in the body of the context.
    """
    from PIL import Image, UnidentifiedImageError

    source = source_of(item, "image")
    Image.init()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(source, formats=[name for name in FORMATS if name in Image.OPEN]) as picture:
                yield picture
    except UnidentifiedImageError:
        said = f"it is no image, or broken ({', '.join(FORMATS)} are possible): {beginning(item, 'image')}"
        raise DataError(f"{name_of(item, 'image')}: {said}") from None
    except Image.DecompressionBombError as error:
        raise DataError(f"{name_of(item, 'image')}: it is too large to be decoded: {error}") from error
    except DataError as error:
        raise DataError(f"{name_of(item, 'image')}: {error}") from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{name_of(item, 'image')}: it is broken: {error}") from error
    except MemoryError as error:
        raise DataError(f"{name_of(item, 'image')}: there is no memory to decode it") from error


def _ends_well(source: Path | io.BytesIO, format: str) -> bool:
    """Whether a file ends as whole ones of its format do; False where that is not known."""
    with open(source, "rb") if isinstance(source, Path) else source as file:
        head = file.read(12)
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL))
        tail = file.read()
    if format in ("JPEG", "MPO"):
        return tail.rstrip(b"\0").endswith(b"\xff\xd9")
    if format == "PNG":
        return b"IEND" in tail
    if format == "GIF":
        return tail.rstrip(b"\0").endswith(b";")
    if format == "WEBP":
        return int.from_bytes(head[4:8], "little") + 8 <= size
    return False
