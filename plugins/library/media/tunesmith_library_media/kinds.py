"""What an item may be: an image, a video, a sound."""

from __future__ import annotations

from typing import Literal

Kind = Literal["image", "video", "audio"]


def a(kind: Kind) -> str:
    """`an image`."""
    return "a video" if kind == "video" else "an image" if kind == "image" else "a sound"
