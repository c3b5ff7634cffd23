"""The shape in which an item is shown to a model, which its head tells; blank items of a shape; calls of processors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from tunesmith import DataError

from tunesmith_library_media.items import (
    VideoFacts,
    audio_facts,
    frames_shown,
    image_size,
    limited,
    load_audio,
    load_image,
    load_video,
    samples_heard,
    video_facts,
)
from tunesmith_library_media.options import MediaOptions, options_of


@dataclass(frozen=True)
class Shape:
    """What the number of an item's tokens depends on."""

    size: tuple[int, int] = (0, 0)  # width and height of an image, or of each frame
    frames: tuple[int, ...] = ()  # those that are shown of a video
    total: int = 0  # frames that the video has
    fps: float = 0.0  # frames per second that it has
    samples: int = 0  # of a sound, at the rate at which it is heard


@dataclass(frozen=True)
class Clip:
    """A video as a processor takes it."""

    frames: Any  # uint8 (T, H, W, 3)
    metadata: dict[str, Any]


def shape_of(processor: Any, column: str, item: Any, options: MediaOptions) -> Shape:
    """The shape in which an item is shown.

    Args:
        column: images, videos or audios.

    Raises: DataError where the item cannot be read.
    """
    if column == "images":
        return Shape(limited(image_size(item), options.image_min_pixels, options.image_max_pixels))
    if column == "videos":
        return _shape_of_video(video_facts(item), options)
    heard = samples_heard(audio_facts(item), sampling_rate(processor, options), options.audio_max_seconds)
    return Shape(samples=heard)


def _shape_of_video(facts: VideoFacts, options: MediaOptions) -> Shape:
    size = limited((facts.width, facts.height), options.video_min_pixels, options.video_max_pixels)
    frames = frames_shown(facts, options.video_fps, options.video_max_frames)
    return Shape(size, tuple(frames), facts.frames, facts.fps)


def blank(column: str, shape: Shape) -> Any:
    """An item of a shape, in which there is nothing to see or hear."""
    if column == "images":
        from PIL import Image

        return Image.new("RGB", shape.size)
    if column == "videos":
        width, height = shape.size
        return _clip(numpy.zeros((len(shape.frames), height, width, 3), numpy.uint8), shape)
    return numpy.zeros(shape.samples, numpy.float32)


def loaded(processor: Any, column: str, item: Any, options: MediaOptions) -> Any:
    """An item decoded, in the shape in which it is shown.

    Raises: DataError for one that cannot be decoded.
    """
    if column == "images":
        return load_image(item, options.image_min_pixels, options.image_max_pixels)
    if column == "videos":
        facts = video_facts(item)
        return _clip(load_video(item, options, facts)[0], _shape_of_video(facts, options))
    return load_audio(item, sampling_rate(processor, options), options.audio_max_seconds)


def _clip(frames: Any, shape: Shape) -> Clip:
    width, height = shape.size
    metadata = {
        **{"total_num_frames": shape.total, "fps": shape.fps, "frames_indices": list(shape.frames)},
        **{"duration": shape.total / shape.fps, "width": width, "height": height},
    }
    return Clip(frames, metadata)


def sampling_rate(processor: Any, options: MediaOptions) -> int:
    """Samples per second at which a model hears."""
    return int(options.audio_sampling_rate or processor.feature_extractor.sampling_rate)


def call(processor: Any, texts: Sequence[str], media: Mapping[str, Sequence[Sequence[Any]]], **options: Any) -> Any:
    """Call a processor over texts and what they show.

    Args:
        media: for each column the items of each text, decoded.

    Raises: DataError for items that the processor refuses.
    """
    given: dict[str, Any] = {}
    if any(media.get("images", ())):
        given["images"] = [list(items) for items in media["images"]]
    if clips := [clip for items in media.get("videos", ()) for clip in items]:
        given["videos"] = [clip.frames for clip in clips]
        given |= {"video_metadata": [dict(clip.metadata) for clip in clips], "do_sample_frames": False}
    if sounds := [sound for items in media.get("audios", ()) for sound in items]:
        given |= {"audio": sounds, "sampling_rate": sampling_rate(processor, options_of(processor))}
    try:
        return processor(text=list(texts), **given, add_special_tokens=False, **options)
    except ValueError as error:
        raise DataError(str(error)) from error
