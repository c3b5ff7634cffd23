"""Images, sounds and videos of conversations: each once, by the digest of what it holds, as `media:DIGEST.png`."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

from tunesmith import TunesmithError
from tunesmith_library_configuration.files import replacing

PREFIX = "media:"

TYPES = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/gif": "gif",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/mpeg": "mp3",
    "audio/flac": "flac",
    "audio/ogg": "ogg",
    "video/mp4": "mp4",
    "video/webm": "webm",
    "video/x-matroska": "mkv",
}
"""What may be kept, and the ending of its file. Nothing of it is a document that a browser would run."""

_NAME = re.compile(r"[0-9a-f]{40}\.(" + "|".join(sorted(set(TYPES.values()))) + ")")


class MediaFiles:
    """A folder of such files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, data: bytes, kind: str) -> str:
        """Keep a file, and give the address by which messages name it.

        Args:
            kind: its type, such as `image/png`.

        Raises: TunesmithError for a type that no model reads, and for an empty file.
        """
        ending = TYPES.get(kind.partition(";")[0].strip().lower())
        if ending is None or not data:
            found = kind if data else "nothing"
            raise TunesmithError(f"{found} cannot be shown to a model.\n  possible: {', '.join(sorted(TYPES))}")
        file = self.folder / f"{hashlib.sha256(data).hexdigest()[:40]}.{ending}"
        if not file.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(file) as beside:
                beside.write_bytes(data)
        return PREFIX + file.name

    def is_address(self, text: str) -> bool:
        """Whether a text names such a file."""
        return text.startswith(PREFIX) and _NAME.fullmatch(text.removeprefix(PREFIX)) is not None

    def file(self, address: str) -> Path:
        """The file of an address. Raises: TunesmithError where there is none."""
        name = address.removeprefix(PREFIX)
        if not _NAME.fullmatch(name) or not (self.folder / name).is_file():
            raise TunesmithError(f"{address}: no such file is kept with the conversations")
        return self.folder / name

    def type_of(self, file: Path) -> str:
        """What a browser is told that a file is."""
        return next(kind for kind, ending in TYPES.items() if ending == file.suffix[1:])

    def data_url(self, address: str) -> str:
        """The file of an address as a data URL."""
        file = self.file(address)
        return f"data:{self.type_of(file)};base64,{base64.b64encode(file.read_bytes()).decode()}"
