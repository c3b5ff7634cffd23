"""Images, videos and sounds in words, for whoever looks at rows and examples: how large they are, what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tunesmith import DataError
from tunesmith.types import Row
from tunesmith_library_formats import BOXES

from tunesmith_library_media.boxes import boxes_of, texts_of
from tunesmith_library_media.holding import located, stored
from tunesmith_library_media.images import image_size
from tunesmith_library_media.kinds import Kind
from tunesmith_library_media.placing import CONVERSATIONS, placed
from tunesmith_library_media.sounds import audio_facts
from tunesmith_library_media.videos import video_facts

_READ: Mapping[str, Callable[[Any], Any]] = {"images": image_size, "videos": video_facts, "audios": audio_facts}
_ELSEWHERE = ("http://", "https://")  # not fetched to be looked at


def faults(row: Row, folders: Sequence[Path] = ()) -> Iterator[str]:
    """What is wrong with the media of a row, and with its boxes.

    Args:
        row: canonical, whose marks and typed parts are places of items.
        folders: where its files are looked for.
    """
    try:
        row = placed(row, tuple(_READ))
    except DataError as error:
        yield str(error)
    for column, read in _READ.items():
        for item in row.get(column) or ():
            try:
                if not _is_elsewhere(item):
                    read(located(item, folders))
            except DataError as error:
                yield str(error)
    yield from _faults_of_boxes(row, folders)


def _faults_of_boxes(row: Row, folders: Sequence[Path]) -> Iterator[str]:
    texts = [text for name in CONVERSATIONS for message in row.get(name) or () for text in texts_of(message)]
    bare = next((mark for mark in BOXES if any(mark in text for text in texts)), None)
    if bare and row.get("images") and not row.get("objects"):
        yield f"its texts have {bare}, and the row no `objects` that says where they lie"
    if row.get("objects") and not any(map(_is_elsewhere, row.get("images") or ())):
        try:
            boxes_of(row, lambda image: image_size(located(row["images"][image], folders)))
        except DataError as error:
            yield str(error)


def _is_elsewhere(item: Any) -> bool:
    address = item.get("url") if isinstance(item, Mapping) else item
    return isinstance(address, str) and address.lower().startswith(_ELSEWHERE)


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
