"""The functions of torchvision that transformers' processors of videos call, in plain torch.

transformers decodes and samples videos without torchvision, but resizes and normalises their frames with it, and will
not import these processors where it is not installed. Names, arguments and results are those of
`torchvision.transforms.v2.functional` for tensors (..., channels, height, width) of uint8 or float32.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from enum import Enum

import torch
from torch import Tensor


class InterpolationMode(Enum):
    """How pixels between pixels are found; the values are the modes of `torch.nn.functional.interpolate`."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


_SMOOTH = (InterpolationMode.BILINEAR, InterpolationMode.BICUBIC, InterpolationMode.LANCZOS)


def resize(
    image: Tensor,
    size: Sequence[int],
    interpolation: InterpolationMode = InterpolationMode.BILINEAR,
    antialias: bool = True,
) -> Tensor:
    """Make images as large as asked for, in their dtype.

    Args:
        image: (..., channels, height, width).
        size: height and width.

    Raises: ValueError for modes that torch does not have.
    """
    if interpolation in (InterpolationMode.BOX, InterpolationMode.HAMMING):
        raise ValueError(f"frames are not resized with {interpolation.value}: install torchvision")
    height, width = size
    if (height, width) == tuple(image.shape[-2:]):
        return image
    smooth = interpolation in _SMOOTH
    frames = image.reshape(-1, *image.shape[-3:])
    native = image.dtype == torch.uint8 and image.device.type == "cpu"  # torch rounds as PIL does there
    if not (image.is_floating_point() or native):
        frames = frames.float()
    made = torch.nn.functional.interpolate(
        frames,
        size=[height, width],
        mode=interpolation.value,
        align_corners=False if smooth else None,
        antialias=antialias and smooth,
    )
    if made.dtype != image.dtype:
        made = made.clamp(0, torch.iinfo(image.dtype).max).round().to(image.dtype)
    return made.reshape(*image.shape[:-2], height, width)


@functools.cache
def has_lanczos() -> bool:
    """Whether this version of torch resizes with a Lanczos window."""
    try:
        resize(torch.zeros(1, 1, 2, 2, dtype=torch.uint8), (1, 1), InterpolationMode.LANCZOS)
    except (NotImplementedError, ValueError):
        return False
    return True


def pad(
    image: Tensor, padding: Sequence[int], fill: float | Sequence[float] | None = 0, padding_mode: str = "constant"
) -> Tensor:
    """Add a border of one value, or of one value for each channel.

    Args:
        padding: left, top, right, bottom.

    Raises: ValueError for another mode than `constant`.
    """
    if padding_mode != "constant":
        raise ValueError(f"frames are not padded with padding_mode={padding_mode!r}: install torchvision")
    left, top, right, bottom = padding
    values = torch.as_tensor(0 if fill is None else fill, dtype=image.dtype, device=image.device).reshape(-1, 1, 1)
    height, width = image.shape[-2:]
    shape = (*image.shape[:-2], height + top + bottom, width + left + right)
    made = values.expand(*shape[-3:]).expand(shape).clone()
    made[..., top : top + height, left : left + width] = image
    return made


def crop(image: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """A rectangle of images, which lies within them."""
    return image[..., top : top + height, left : left + width]


def normalize(
    image: Tensor, mean: Tensor | Sequence[float], std: Tensor | Sequence[float], inplace: bool = False
) -> Tensor:
    """(image - mean) / std, by channel. Args: image: (..., channels, height, width), floating point."""
    centre, spread = (torch.as_tensor(each, dtype=image.dtype).to(image.device).view(-1, 1, 1) for each in (mean, std))
    return (image.sub_(centre) if inplace else image.sub(centre)).div_(spread)


def grayscale_to_rgb(image: Tensor) -> Tensor:
    """Images of one channel with three; others as they are."""
    channels = image.shape[-3]
    return image if channels >= 3 else image[..., :1, :, :].expand(*image.shape[:-3], 3, *image.shape[-2:])


def to_dtype(image: Tensor, dtype: torch.dtype, scale: bool = False) -> Tensor:
    """Images in another dtype; with `scale`, between 0 to 255 of uint8 and 0 to 1 of floating point."""
    if not scale or image.dtype == dtype or image.is_floating_point() == dtype.is_floating_point:
        return image.to(dtype)
    return image.to(dtype) / 255 if dtype.is_floating_point else (image * 255.999).to(dtype)
