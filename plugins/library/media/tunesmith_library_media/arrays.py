"""Images, videos and sounds that are arrays or objects of PIL, as files that lose nothing."""

from __future__ import annotations

import io
from typing import Any

import numpy
from tunesmith.errors import DataError

from tunesmith_library_media.colours import in_colours
from tunesmith_library_media.kinds import Kind, a

NUMPY = b"\x93NUMPY"
"""What an array of frames begins with, as numpy writes it."""
_AS_THEY_ARE = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")  # modes that PNG has


def file_of(item: Any, kind: Kind) -> bytes:
    """The file of an image of PIL, or of an array.

    Args:
        item: of an image uint8, uint16, or float from 0 to 1, (H, W), (H, W, C) or (C, H, W); of a video the same with
            T before.

    Raises: DataError for another shape or type.
    """
    if hasattr(item, "getexif"):
        return _picture_file(item)
    values = numpy.asarray(item)
    if kind == "audio":
        raise DataError("a sound that is an array needs its rate: {array: …, sampling_rate: …}")
    pixels = _pixels(values, kind)
    if kind == "image":
        from PIL import Image

        return _picture_file(Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels))
    if not len(pixels):
        raise DataError("a video has no frames")
    if pixels.shape[-1] != 3:
        pixels = numpy.repeat(pixels, 3, -1) if pixels.shape[-1] == 1 else pixels[..., :3]
    file = io.BytesIO()
    numpy.save(file, numpy.ascontiguousarray(pixels), allow_pickle=False)
    return file.getvalue()


def _picture_file(picture: Any) -> bytes:
    """PNG of an image, turned as its EXIF says, which PNG need not keep."""
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(picture)
    file = io.BytesIO()
    (upright if upright.mode in _AS_THEY_ARE else in_colours(upright)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _pixels(values: Any, kind: Kind) -> Any:
    """uint8 of (H, W, C), or with T before. Raises: DataError."""
    frames = 1 if kind == "video" else 0
    if values.ndim == 2 and not frames:
        values = values[..., None]
    if values.ndim == 3 + frames and values.shape[-1] not in (1, 3, 4) and values.shape[frames] in (1, 3, 4):
        values = numpy.moveaxis(values, frames, -1)
    whole = values.ndim == 3 + frames and values.shape[-1] in (1, 3, 4) and 0 not in values.shape[frames:]
    if not whole:
        needed = "T×H×W×3" if frames else "H×W×3"
        raise DataError(f"{a(kind)} that is an array must be {needed}, found {'×'.join(map(str, values.shape))}")
    if values.dtype == numpy.uint8:
        return values
    if values.dtype == numpy.uint16:
        return (values / 257).round().astype(numpy.uint8)
    if values.dtype.kind in "iub" and values.min() >= 0 and values.max() <= 255:
        return values.astype(numpy.uint8) * (255 if values.dtype.kind == "b" else 1)
    if values.dtype.kind == "f" and values.min() >= 0 and values.max() <= 1:
        return (values * 255).round().astype(numpy.uint8)
    extent = f"from {values.min()} to {values.max()}" if values.dtype.kind in "iuf" else ""
    raise DataError(
        f"{a(kind)} that is an array must be uint8, or float from 0 to 1, found {values.dtype} {extent}".rstrip()
    )


def sound_file(values: Any, sampling_rate: Any) -> bytes:
    """WAV of a sound, in float32.

    Args:
        values: (samples,), or (channels, samples) as (samples, channels); int16, int32 or float from -1 to 1.
        sampling_rate: samples per second.

    Raises: DataError for another shape, or without a rate.
    """
    import soundfile

    if isinstance(sampling_rate, bool) or not isinstance(sampling_rate, int | float) or sampling_rate < 1:
        raise DataError(f"a sound that is an array needs its sampling_rate, found {sampling_rate!r}")
    try:
        samples = numpy.asarray(values)
    except ValueError:  # lists of different lengths
        samples = numpy.empty(0, object)
    if samples.dtype.kind not in "iuf" or samples.ndim not in (1, 2):
        raise DataError(f"the array of a sound must be numbers in one or two dimensions, found {samples.dtype}")
    if samples.ndim == 2 and samples.shape[0] < samples.shape[1]:
        samples = samples.T
    if samples.dtype in (numpy.int16, numpy.int32):
        samples = samples / -float(numpy.iinfo(samples.dtype).min)
    samples = samples.astype(numpy.float32)
    if not samples.size or not numpy.isfinite(samples).all():
        raise DataError("a sound has no samples" if not samples.size else "a sound has samples that are no numbers")
    file = io.BytesIO()
    soundfile.write(file, samples, int(sampling_rate), format="WAV", subtype="FLOAT")
    return file.getvalue()
