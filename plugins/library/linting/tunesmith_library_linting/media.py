"""Media beside their places: as many of each as the texts show, and files that can be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from tunesmith_library_media.telling import faults

from .findings import Finding, Item, RowCheck


class Media(RowCheck):
    """Places without a medium, media without a place, files that are missing, cut off or of another kind."""

    name: ClassVar[str] = "media"
    says: ClassVar[str] = "texts show more or fewer media than there are, or one is missing or broken"
    mends: ClassVar[str] = "leaves it out"

    def look(self, items: Sequence[Item]) -> Iterator[Finding]:
        for item in items:
            folders = [item.media_dir] if item.media_dir else []
            folders += [item.file.parent if item.file else Path()]
            for message in faults(item.content or {}, folders):
                yield self.finding(item, "error", message)
