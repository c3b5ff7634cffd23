"""Within which limits images, videos and sounds are shown to a model. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from tunesmith.ranges import above, at_least

_KEPT = "encoding_options"  # which the fingerprint of encoded data looks at
_Pixels = Annotated[int | None, at_least(1, most=1_000_000_000)]


@dataclass(kw_only=True)
class MediaOptions:
    """Resolutions and rates; null leaves one to the model's own processor."""

    # larger images are made smaller, in their proportions, before the model's processor sees them
    image_max_pixels: _Pixels = None
    image_min_pixels: _Pixels = None  # smaller images are enlarged
    video_max_pixels: _Pixels = None  # of each frame; larger ones are made smaller
    video_min_pixels: _Pixels = None  # of each frame; smaller ones are enlarged
    video_fps: Annotated[float, above(0, most=1_000)] = 2.0  # frames that are taken of a second of a video
    video_max_frames: Annotated[int, at_least(1, most=1_000_000)] = 128  # of a video, evenly spread
    # samples of sound per second; null is the model's own
    audio_sampling_rate: Annotated[int | None, at_least(1_000, most=1_000_000)] = None
    # seconds of a sound that are heard; null is all
    audio_max_seconds: Annotated[float | None, above(0, most=1_000_000)] = None
    # how `<bbox>` of rows becomes text: as the family's publisher writes boxes, or [x1, y1, x2, y2] in thousandths
    boxes: Literal["family", "thousandths"] = "family"
    # hosts from which media may be fetched (example.org); without, a URL in a row is an error
    hosts: list[str] = field(default_factory=list)


def keep_options(processor: Any, options: MediaOptions) -> None:
    """Have a processor carry the options by which media are shown to it.

    They hang on its tokenizer, which saves none but its own; a processor would write them into its files.
    """
    setattr(getattr(processor, "tokenizer", processor), _KEPT, options)


def options_of(processor: Any) -> MediaOptions:
    """The options that a processor carries; the defaults where it has none."""
    kept = getattr(getattr(processor, "tokenizer", processor), _KEPT, None)
    return kept if isinstance(kept, MediaOptions) else MediaOptions()
