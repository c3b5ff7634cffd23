"""Media beside their places: as many of each as the texts show, and files that can be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from tunesmith import DataError
from tunesmith.types import Row
from tunesmith_library_formats import MEDIA
from tunesmith_library_media.holding import located
from tunesmith_library_media.items import audio_facts, image_size, video_facts
from tunesmith_library_media.placing import placed

from .findings import Finding, Item, RowCheck

_READ: Mapping[str, Callable[[Any], Any]] = {"images": image_size, "videos": video_facts, "audios": audio_facts}
_ELSEWHERE = ("http://", "https://")  # not fetched to be looked at


class Media(RowCheck):
    """Places without a medium, media without a place, files that are missing, cut off or of another kind."""

    name: ClassVar[str] = "media"
    says: ClassVar[str] = "texts show more or fewer media than there are, or one is missing or broken"
    mends: ClassVar[str] = "leaves it out"

    def look(self, items: Sequence[Item]) -> Iterator[Finding]:
        for item in items:
            folders = [item.media_dir] if item.media_dir else []
            folders += [item.file.parent if item.file else Path()]
            for message in _faults(item.content or {}, folders):
                yield self.finding(item, "error", message)


def _faults(row: Row, folders: Sequence[Path]) -> Iterator[str]:
    """What is wrong with the media of a row; `folders` are where its files are looked for."""
    try:
        row = placed(row, MEDIA)
    except DataError as error:
        yield str(error)
    for column, read in _READ.items():
        for item in row.get(column) or ():
            try:
                if not _is_elsewhere(item):
                    read(located(item, folders))
            except DataError as error:
                yield str(error)


def _is_elsewhere(item: Any) -> bool:
    address = item.get("url") if isinstance(item, Mapping) else item
    return isinstance(address, str) and address.lower().startswith(_ELSEWHERE)
