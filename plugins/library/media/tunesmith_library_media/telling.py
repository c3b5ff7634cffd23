"""Images, videos and sounds in words, for whoever looks at examples."""

from __future__ import annotations

from typing import Any

from tunesmith import DataError

from tunesmith_library_media.holding import stored
from tunesmith_library_media.images import image_size
from tunesmith_library_media.kinds import Kind
from tunesmith_library_media.sounds import audio_facts
from tunesmith_library_media.videos import video_facts


def told(kind: Kind, item: Any) -> str:
    """Where an item is, and how large: `cat.jpg, 300 × 168 pixels`; of one that cannot be read, why."""
    try:
        kept = stored(item, kind)
        place = kept["path"] or f"{len(kept['bytes'] or b''):,} bytes"
        return f"{place}, {_size(kind, kept)}"
    except DataError as error:
        return str(error)


def _size(kind: Kind, item: Any) -> str:
    if kind == "image":
        width, height = image_size(item)
        return f"{width} × {height} pixels"
    if kind == "video":
        video = video_facts(item)
        size = f"{video.frames:,} frames of {video.width} × {video.height} pixels, {video.fps:g} a second"
        return f"{size}, {video.seconds:.2f} seconds"
    sound = audio_facts(item)
    channels = "1 channel" if sound.channels == 1 else f"{sound.channels} channels"
    return f"{sound.seconds:.2f} seconds, {sound.sampling_rate:,} samples a second, {channels}"
