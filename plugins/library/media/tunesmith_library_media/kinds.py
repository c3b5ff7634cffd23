"""What an item may be: an image, a video, a sound."""

from __future__ import annotations

from typing import Literal

Kind = Literal["image", "video", "audio"]


def a(kind: Kind) -> str:
    """`an image`."""
    return f"a {kind}" if kind == "video" else f"an {kind}" if kind == "image" else "a sound"
