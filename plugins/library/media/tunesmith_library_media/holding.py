"""What an image, a video or a sound may be given as, and what an example keeps of it: a path, or bytes of a file.

A path stays a path, so that nothing is read twice and an example stays small.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import io
import itertools
import json
import os
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict
from urllib.parse import unquote_to_bytes, urlsplit

from tunesmith.errors import DataError, nearest

from tunesmith_library_media.kinds import Kind, a

POSSIBLE = "a path, bytes, base64, a data URL, a URL of a host that is allowed, or a mapping with `path` or `bytes`"
LISTED = b"frames of a video: "
"""What the bytes of a video begin with that is a list of images."""
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*")
_LEAST = 24  # characters that the base64 of a file has
_SURE = 64  # characters from which on what may be base64 is no path
_FILES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"OggS", b"fLaC", b"ID3")
"""What files begin with that may be so small that their base64 is as short as a path."""
_LONGEST_PATH = 4096  # characters: what is longer is no path, and may be base64
_MOST_BYTES = 2**30  # of a file of another host
_SECONDS = 60.0  # that it may take
_COMPARED = 10_000  # names in a folder among which a missing one may be misspelt


class Stored(TypedDict):
    """What an example keeps of an item; one of both is None."""

    path: str | None
    bytes: bytes | None


def stored(item: Any, kind: Kind = "image", hosts: Sequence[str] = ()) -> Stored:
    """What an example keeps of an item.

    Args:
        item: see `POSSIBLE`; also an image of PIL, an array (an image as H×W×C, a video as T×H×W×C), and a mapping
            with the `array` of a sound and its `sampling_rate`; and a list of the images that are a video.
        kind: what it is to be.
        hosts: from which a URL may be fetched; what it holds is kept as bytes.

    Raises: DataError for anything else, and for a URL of another host.
    """
    if isinstance(item, str | os.PathLike):
        return _of_text(os.fspath(item), kind, hosts)
    if isinstance(item, bytes | bytearray | memoryview):
        return {"path": None, "bytes": bytes(item)}
    if isinstance(item, Mapping):
        return _of_mapping(item, kind, hosts)
    if isinstance(item, list | tuple) and kind == "video":
        return {"path": None, "bytes": _of_frames(item, hosts)}
    if hasattr(item, "getexif") or hasattr(item, "__array__"):
        from tunesmith_library_media.arrays import file_of

        return {"path": None, "bytes": file_of(item, kind)}
    raise DataError(f"{a(kind)} is given as {POSSIBLE}, not as {type(item).__name__}")


def _of_frames(frames: Sequence[Any], hosts: Sequence[str]) -> bytes:
    """The frames of a video by their paths, or in base64."""
    if not frames:
        raise DataError("a video that is a list of images needs at least one")
    kept = [stored(frame, "image", hosts) for frame in frames]
    listed = [frame["path"] or {"base64": base64.b64encode(frame["bytes"] or b"").decode()} for frame in kept]
    return LISTED + json.dumps(listed).encode()


def _of_mapping(item: Mapping[str, Any], kind: Kind, hosts: Sequence[str]) -> Stored:
    if item.get("array") is not None:
        from tunesmith_library_media.arrays import sound_file

        return {"path": None, "bytes": sound_file(item["array"], item.get("sampling_rate"))}
    for key in ("bytes", "path", "url", "base64", "data"):  # bytes come first: beside them the path is but a name
        value = item.get(key)
        if isinstance(value, list):  # JSON and Arrow may have made a list of numbers of them
            value = _of_numbers(value)
        if value is not None:
            return stored(value, kind, hosts)
    found = ", ".join(f"`{key}`" for key in item) or "nothing"
    raise DataError(f"{a(kind)} is given as {POSSIBLE}; this mapping has {found}")


def _of_numbers(values: list[Any]) -> bytes:
    try:
        return bytes(values)
    except (TypeError, ValueError):
        raise DataError("the bytes of a medium are a list of something else than numbers from 0 to 255") from None


def _of_text(text: str, kind: Kind, hosts: Sequence[str]) -> Stored:
    scheme = text[:8].partition(":")[0].lower()
    if scheme == "data":
        return {"path": None, "bytes": _of_data_url(text, kind)}
    if scheme in ("http", "https"):
        return {"path": None, "bytes": _of_url(text, kind, hosts)}
    if text[:7].lower() == "file://":
        from urllib.request import url2pathname  # with all of HTTP, which a plan does without

        return {"path": url2pathname(urlsplit(text).path), "bytes": None}
    if len(text) > _LONGEST_PATH or (_may_be_base64(text) and not os.path.exists(text)):
        return {"path": None, "bytes": _of_base64(text, a(kind))}
    return {"path": os.path.expanduser(text), "bytes": None}


def _may_be_base64(text: str) -> bool:
    if len(text) < _SURE:
        if len(text) < _LEAST:
            return False
        with contextlib.suppress(binascii.Error, ValueError):
            return base64.b64decode(text, validate=True).startswith(_FILES)
        return False
    return _BASE64.fullmatch(text) is not None


def _of_url(url: str, kind: Kind, hosts: Sequence[str]) -> bytes:
    from tunesmith_library_engine.fetching import Allowed, Unfetchable, fetch

    try:
        return fetch(url, Allowed(hosts, _MOST_BYTES, _SECONDS, "model.media.hosts", "the reader of media"))
    except Unfetchable as error:
        raise DataError(f"{kind} {url[:200]}: {error}") from error


def _of_data_url(url: str, kind: Kind) -> bytes:
    head, comma, data = url.partition(",")
    declared, *parameters = head[len("data:") :].split(";")
    if not comma:
        raise DataError(f"the data URL of {a(kind)} has no comma before its data: {head[:40]}")
    family = declared.partition("/")[0].strip().lower()
    if family in ("image", "video", "audio", "text") and family != kind and (kind, family) != ("audio", "video"):
        raise DataError(f"a data URL of {declared.strip()} is given where {a(kind)} is needed")
    if "base64" in (each.strip().lower() for each in parameters):
        return _of_base64(data, f"the data URL of {a(kind)}")
    return unquote_to_bytes(data)


def _of_base64(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(re.sub(r"\s", "", text), validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(f"{what} is no base64 ({error}): {text[:40]}…") from error


def located(item: Any, folders: Sequence[Path]) -> Any:
    """An item whose file is found in the first of some folders that has it, where one has."""
    if isinstance(item, list):  # the frames of a video
        return [located(frame, folders) for frame in item]
    if isinstance(item, dict) and isinstance(item.get("path"), str) and item.get("bytes") is None:
        return {**item, "path": located(item["path"], folders)}
    if not isinstance(item, str) or len(item) > _LONGEST_PATH:  # that would be base64
        return item
    return next((str(folder / item) for folder in folders if os.path.isfile(folder / item)), item)


def source_of(item: Any, kind: Kind) -> Path | io.BytesIO:
    """Where a decoder reads an item from.

    Raises: DataError for what is no file, or has no bytes.
    """
    kept = stored(item, kind)
    data, path = kept["bytes"], kept["path"]
    if data is not None:
        if not data:
            raise DataError(f"{a(kind)} has 0 bytes")
        return io.BytesIO(data)
    assert path is not None
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise DataError(f"{kind} {path}: there is no such file{_misspelt(path)}") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{kind} {path[:200]!r}: it cannot be read: {error}") from error
    if not stat.S_ISREG(found.st_mode):
        what = "a directory" if stat.S_ISDIR(found.st_mode) else "no regular file"
        raise DataError(f"{kind} {path}: it is {what}; a file is needed")
    if not found.st_size:
        raise DataError(f"{kind} {path}: it has 0 bytes")
    if not os.access(path, os.R_OK):
        raise DataError(f"{kind} {path}: it may not be read")
    return Path(path)


def _misspelt(path: str) -> str:
    try:
        with os.scandir(os.path.dirname(path) or ".") as entries:
            names = [entry.name for entry in itertools.islice(entries, _COMPARED)]
    except OSError:
        return f", nor a folder {os.path.dirname(path)}"
    near = nearest(os.path.basename(path), names)
    return f"; did you mean {near}?" if near else ""


def name_of(item: Any, kind: Kind) -> str:
    """An item in messages: `image cat.jpg`."""
    kept = stored(item, kind)
    return f"{kind} {kept['path']}" if kept["path"] else f"{a(kind)} of {len(kept['bytes'] or b''):,} bytes"


def beginning(item: Any, kind: Kind) -> str:
    """What a file that cannot be read begins with, in words."""
    source = source_of(item, kind)
    if isinstance(source, Path):
        with open(source, "rb") as file:
            start = file.read(16)
    else:
        start = source.read(16)
    return f"it begins with {start!r}"
