"""Videos: how many frames they have and of what size, and those of them that a model is shown."""

from __future__ import annotations

import io
import itertools
import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy
from tunesmith.errors import DataError
from tunesmith.messages import logger

from tunesmith_library_media.arrays import NUMPY
from tunesmith_library_media.containers import opened, packets, stream_of
from tunesmith_library_media.holding import LISTED, name_of, stored
from tunesmith_library_media.images import image_size, limited, load_image

if TYPE_CHECKING:
    from av.container import InputContainer
    from numpy.typing import NDArray

_EXACT = ("mp4", "matroska")  # formats that find a frame by its time
_IMAGES = ("image2", "_pipe", "apng")  # names of formats that hold one image


@dataclass(frozen=True)
class VideoFacts:
    """What is known of a video before it is decoded."""

    frames: int
    fps: float  # frames per second, on average
    width: int  # as it is shown: phones write videos that lie
    height: int
    sound: bool  # whether there is one to be heard

    @property
    def seconds(self) -> float:
        return self.frames / self.fps


class Limits(Protocol):
    """Which frames are shown, and how large; the fields of `MediaOptions`."""

    video_fps: float
    video_max_frames: int
    video_min_pixels: int | None
    video_max_pixels: int | None


def video_facts(item: Any) -> VideoFacts:
    """Frames, rate and size of a video; its file is read, and its first frame decoded.

    The frames of an array, or of a list of images, are taken for one a second.

    Raises: DataError for what is no video, has no frames, or is cut off.
    """
    array, images = _array_of(item), _images_of(item)
    if images:
        return VideoFacts(len(images), 1.0, *image_size(images[0]), sound=False)
    if array is not None:
        return VideoFacts(len(array), 1.0, array.shape[2], array.shape[1], sound=False)
    with opened(item, "video") as container:
        stream = stream_of(container, "video")
        if any(name in container.format.name for name in _IMAGES):
            raise DataError("it is an image, which is no video; `images` is for those")
        rate = stream.average_rate or stream.guessed_rate
        first = next(container.decode(stream), None)
        if first is None:
            raise DataError("it has no frames")
        width, height = first.width, first.height
        sound = bool(container.streams.audio)
        turns = _quarter_turns(first)
        container.seek(0)
        frames, length = packets(container, stream)
        seconds = float(length * stream.time_base) if stream.time_base else 0.0
        fps = frames / seconds if seconds > 0 else float(rate or 1)
    size = (height, width) if turns % 2 else (width, height)
    return VideoFacts(max(frames, 1), fps, *size, sound)


def frames_shown(facts: VideoFacts, fps: float, most: int) -> list[int]:
    """Which frames of a video are shown: so many of a second, evenly from the first to the last."""
    number = max(1, min(int(facts.seconds * fps), most, facts.frames))
    return [int(index) for index in numpy.linspace(0, facts.frames - 1, number)]


def load_video(item: Any, options: Limits, facts: VideoFacts | None = None) -> tuple[NDArray[numpy.uint8], list[float]]:
    """The frames that are shown, and when each is to be seen.

    Args:
        facts: of the video, where they are known.

    Returns: uint8 (T, H, W, 3), upright; T seconds from the start.
    Raises: DataError for what is no video, or a broken one.
    """
    facts = facts or video_facts(item)
    wanted = frames_shown(facts, options.video_fps, options.video_max_frames)
    size = limited((facts.width, facts.height), options.video_min_pixels, options.video_max_pixels)
    array, images = _array_of(item), _images_of(item)
    if images:
        shown = [_resized(numpy.asarray(load_image(images[index])), size) for index in wanted]
    elif array is not None:
        shown = [_resized(array[index], size) for index in wanted]
    else:
        with opened(item, "video") as container:
            shown = _decoded(container, stream_of(container, "video"), wanted, size)
        if not shown:
            raise DataError(f"{name_of(item, 'video')}: none of its frames can be decoded")
        if len(shown) < len(wanted):
            there = f"{len(shown)} of the {len(wanted)} frames that are shown can be decoded"
            logger.warning("%s: %s, the last of which stands for the others", name_of(item, "video"), there)
            shown += [shown[-1]] * (len(wanted) - len(shown))
    return numpy.stack(shown), [index / facts.fps for index in wanted]


def _decoded(
    container: InputContainer, stream: Any, wanted: Sequence[int], size: tuple[int, int]
) -> list[NDArray[numpy.uint8]]:
    """The wanted frames of a video, as far as they are there.

    Between two of them all are decoded, unless one that stands by itself comes in between: then it goes on from there.
    """
    times, keys = _times(container, stream)
    shown: list[NDArray[numpy.uint8]] = []
    frames = container.decode(stream)
    at = times[0] if times else -1  # the last frame's time, or its number
    for index in wanted:
        key = keys[bisect_right(keys, times[index]) - 1] if times else None
        if key is not None and at < key:
            container.seek(key, stream=stream)
            frames = container.decode(stream)
        if times:
            frame = next((frame for frame in frames if frame.pts >= times[index]), None)
        else:
            frame = next(itertools.islice(frames, index - at - 1, None), None)
        if frame is None:
            break
        at = frame.pts if times else index
        shown.append(_resized(numpy.rot90(frame.to_ndarray(format="rgb24"), _quarter_turns(frame)), size))
    return shown


def _times(container: InputContainer, stream: Any) -> tuple[list[int], list[int]]:
    """When each frame is to be seen, in order, and those that stand by themselves; nothing where that is not exact."""
    if not any(name in container.format.name for name in _EXACT):
        return [], []
    found = [(packet.pts, packet.is_keyframe) for packet in container.demux(stream) if packet.size]
    container.seek(0)
    times = sorted(time for time, _ in found if time is not None)
    keys = sorted(time for time, is_key in found if is_key and time is not None)
    exact = len(set(times)) == len(found) and keys[:1] == times[:1]
    return (times, keys) if exact else ([], [])


def _quarter_turns(frame: Any) -> int:
    """By how many quarters a frame is turned, against the clock, before it is shown."""
    return int(round(frame.rotation / 90) % 4)


def _resized(frame: NDArray[numpy.uint8], size: tuple[int, int]) -> NDArray[numpy.uint8]:
    """A frame of a size (width, height)."""
    if (frame.shape[1], frame.shape[0]) == size:
        return frame
    from PIL import Image

    return numpy.asarray(Image.fromarray(numpy.ascontiguousarray(frame)).resize(size))


def _images_of(item: Any) -> list[Any]:
    """The images of a video that was given as a list of them; none of any other."""
    data = stored(item, "video")["bytes"]
    return list(json.loads(data[len(LISTED) :])) if data is not None and data.startswith(LISTED) else []


def _array_of(item: Any) -> NDArray[numpy.uint8] | None:
    """The frames of a video that was given as an array; None of any other.

    Raises: DataError for a broken one.
    """
    data = stored(item, "video")["bytes"]
    if data is None or not data.startswith(NUMPY):
        return None
    try:
        frames = numpy.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DataError(f"{name_of(item, 'video')}: its array is broken: {error}") from error
    if frames.ndim != 4 or frames.dtype != numpy.uint8 or frames.shape[-1] != 3 or 0 in frames.shape:
        shape = "×".join(map(str, frames.shape))
        raise DataError(f"a video that is an array must be uint8 T×H×W×3, found {frames.dtype} {shape}")
    checked: NDArray[numpy.uint8] = frames
    return checked
