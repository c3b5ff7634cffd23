"""Images, sound and video of a request as bytes: from data URLs, from folders and from hosts that are allowed.

Nothing is looked up that the server's owner did not name, so that a request cannot have the server read files or ask
hosts that its sender cannot reach (server-side request forgery).
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote_to_bytes, urlsplit
from urllib.request import url2pathname

from tunesmith_library_engine.fetching import Allowed, Unfetchable, fetch

from tunesmith_command_api.errors import invalid

Kind = Literal["image", "audio", "video"]

_MEBIBYTE = 2**20


@dataclass(frozen=True)
class MediaPolicy:
    """What a request may bring, and from where."""

    folders: tuple[Path, ...] = ()  # files may lie in these and below
    hosts: tuple[str, ...] = ()  # `fetching.allows` says what they may look like
    max_bytes: int = 20 * _MEBIBYTE  # of one part
    max_parts: int = 16  # of one request
    seconds: float = 10.0  # that a host may take, redirections included


@dataclass(frozen=True)
class Part:
    """A part of a message that is no text."""

    kind: Kind
    address: str  # a data URL, an http(s) or file URL, or a path
    place: str  # in the request: messages[0].content[1]


@dataclass(frozen=True)
class Media:
    """What a part holds."""

    kind: Kind
    data: bytes


def parts_of(messages: Sequence[Mapping[str, Any]], name: str = "messages") -> Iterator[Part]:
    """The parts of messages that are no text, in the shapes of OpenAI, vLLM and Anthropic.

    Raises: ApiError for a part that holds no address, and for files.
    """
    for number, message in enumerate(messages):
        content = message.get("content")
        if not isinstance(content, Sequence) or isinstance(content, str):
            continue
        for index, part in enumerate(content):
            place = f"{name}[{number}].content[{index}]"
            if isinstance(part, Mapping) and (kind := _KINDS.get(str(part.get("type")))) is not None:
                yield Part(kind, _address(part, kind, place), place)
            elif isinstance(part, Mapping) and part.get("type") in ("file", "input_file", "document"):
                raise invalid(f"{place}: files are not read here; send what is in it as text or as images", place)


_KINDS: dict[str, Kind] = {
    "image": "image",
    "image_url": "image",
    "input_image": "image",
    "audio": "audio",
    "audio_url": "audio",
    "input_audio": "audio",
    "video": "video",
    "video_url": "video",
    "input_video": "video",
}


MEDIA_TYPES = frozenset(_KINDS) | {"file", "input_file", "document"}
"""What parts that are no text are called."""


def _address(part: Mapping[str, Any], kind: Kind, place: str) -> str:
    held = next((part[name] for name in (f"{kind}_url", f"input_{kind}", kind, "source", "url") if name in part), None)
    if isinstance(held, Mapping):
        if isinstance(held.get("data"), str):  # input_audio, and Anthropic's base64 source
            return f"data:{held.get('media_type') or ''};base64,{held['data']}"
        held = held.get("url")
    if not isinstance(held, str) or not held:
        raise invalid(f"{place}: it holds no address; {kind}_url is {{'url': 'data:{kind}/…;base64,…'}}", place)
    return held


def load(parts: Sequence[Part], policy: MediaPolicy) -> list[Media]:
    """The bytes of parts. It may wait for hosts, so it is for a thread.

    Raises: ApiError that names the part: too many, too large, not allowed, or not to be had.
    """
    if len(parts) > policy.max_parts:
        message = f"the request has {len(parts)} images, sounds and videos; --max-media allows {policy.max_parts}"
        raise invalid(message, parts[policy.max_parts].place, "too_many_media")
    return [Media(part.kind, _bytes_of(part, policy)) for part in parts]


def _bytes_of(part: Part, policy: MediaPolicy) -> bytes:
    scheme = part.address.partition(":")[0].lower()
    if scheme == "data":
        return _from_data_url(part, policy)
    if scheme not in ("http", "https"):
        return _from_file(part, policy)
    try:
        return fetch(part.address, Allowed(policy.hosts, policy.max_bytes, policy.seconds))
    except Unfetchable as error:
        raise invalid(f"{part.place}: {error}", part.place, "media_not_available") from error


def _from_data_url(part: Part, policy: MediaPolicy) -> bytes:
    head, comma, data = part.address.partition(",")
    declared, *parameters = head[len("data:") :].split(";")
    if not comma:
        raise invalid(f"{part.place}: a data URL needs a comma before its data", part.place)
    if declared and declared.partition("/")[0].strip().lower() != part.kind:
        raise invalid(f"{part.place}: the data URL says {declared[:80]!r}, which is no {part.kind}", part.place)
    if "base64" not in (each.strip().lower() for each in parameters):
        found = unquote_to_bytes(data) if len(data) <= 3 * policy.max_bytes else None
    elif len(data) > policy.max_bytes * 4 // 3 + 4:
        found = None
    else:
        try:
            found = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise invalid(f"{part.place}: its data is no base64: {error}", part.place) from error
    if found is None or len(found) > policy.max_bytes:
        raise _too_large(part, policy)
    return found


def _from_file(part: Part, policy: MediaPolicy) -> bytes:
    """A file in an allowed folder. What is outside of them sounds the same whether it is there or not."""
    refused = invalid(
        f"{part.place}: {part.address[:200]!r} is no file that this server may read.\n"
        "  send a data URL, or start the server with --allow-media-path FOLDER",
        part.place,
        "media_not_allowed",
    )
    try:
        path = _path_of(part.address).resolve(strict=True)
        if not any(path.is_relative_to(folder.resolve()) for folder in policy.folders):
            raise refused
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError, RuntimeError):  # not there, not readable, no path, links in a circle
        raise refused from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise refused
    with open(descriptor, "rb") as file:
        data = file.read(policy.max_bytes + 1) if status.st_size <= policy.max_bytes else None
    if data is None or len(data) > policy.max_bytes:
        raise _too_large(part, policy)
    return data


def _path_of(address: str) -> Path:
    """
    Raises: ValueError for a file URL of another machine, for another scheme, and for a path that is relative: to what
        is nothing that a client knows.
    """
    parts = urlsplit(address)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(url2pathname(parts.path))
    if not os.path.isabs(address):
        raise ValueError(address)
    return Path(address)


def _too_large(part: Part, policy: MediaPolicy) -> Exception:
    message = f"{part.place}: it has more than {policy.max_bytes} bytes; --max-media-bytes allows no more"
    return invalid(message, part.place, "media_too_large")
