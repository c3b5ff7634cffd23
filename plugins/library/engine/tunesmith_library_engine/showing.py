"""Images, videos and sounds that a question is about: files at the terminal, bytes in a conversation."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tunesmith.errors import TunesmithError
from tunesmith.types import Message

MEDIA: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "image": ("images", ("image_processor",)),
    "video": ("videos", ("video_processor",)),
    "audio": ("audios", ("feature_extractor",)),
}
"""What a message may hold beside text: its part's type, the column of a row, what a processor has that reads it."""

BLIND = (
    ".\n  if it is one that does, its processor could not be made where it was loaded, and the line "
    '"processor:" of the log then says what to install'
)
"""What is to be said where the tokenizer alone was loaded: of a model that reads text, or for want of a package."""

_NAMES = {"image": ".png, .jpg, .webp", "video": ".mp4, .mkv, .webm", "audio": ".wav, .mp3, .flac"}


class Medium(NamedTuple):
    """A file to be shown with a question."""

    kind: str  # of `MEDIA`
    file: Path


def kinds_of(processor: Any) -> tuple[str, ...]:
    """Which kinds of `MEDIA` a model can be shown, by its processor: what it has a token and a part for."""
    return tuple(
        kind
        for kind, (_, parts) in MEDIA.items()
        if isinstance(getattr(processor, f"{kind}_token", None), str)
        and any(getattr(processor, part, None) is not None for part in parts)
    )


def told(kinds: Sequence[str]) -> str:
    """What a model reads, in words."""
    listed = ["text", *(MEDIA[kind][0] for kind in kinds)]
    return f"{', '.join(listed[:-1])} and {listed[-1]}" if kinds else "text alone"


def check_medium(processor: Any, medium: Medium) -> None:
    """Refuse a file that a model cannot be shown.

    Args:
        processor: the model's.

    Raises: TunesmithError for a kind that the model does not read, and for a file that is none of its kind.
    """
    kind, file = medium
    kinds = kinds_of(processor)
    if kind not in kinds:
        raise TunesmithError(f"{file}: this model takes no {MEDIA[kind][0]}; it reads {told(kinds)}")
    if not file.is_file():
        raise TunesmithError(f"{file}: there is {'a folder' if file.is_dir() else 'no such file'}")
    if not (mimetypes.guess_type(file.name)[0] or "").startswith(f"{kind}/"):
        name = _named(kind)
        raise TunesmithError(f"{file} is no {name}, by its name; possible are {_NAMES[kind]} and others like them")


def with_media(text: str, media: Sequence[Medium]) -> str | list[dict[str, Any]]:
    """A message's content: text with the media that it is about, at the marks `<image>`, `<video>`, `<audio>` where it
    has them, else before it.

    Raises: TunesmithError for a text with another number of marks than media.
    """
    if not media:
        return text
    waiting = {kind: [_part(medium) for medium in media if medium.kind == kind] for kind in MEDIA}
    counts = {kind: text.count(f"<{kind}>") for kind in MEDIA if waiting[kind]}
    for kind, count in counts.items():
        if count not in (0, len(waiting[kind])):
            marks = f"{count} mark{'s' * (count != 1)} <{kind}>"
            raise TunesmithError(f"the question has {marks} and {len(waiting[kind])} {MEDIA[kind][0]} to stand there")
    first = [_part(medium) for medium in media if not counts[medium.kind]]
    marked = "|".join(f"<{kind}>" for kind, count in counts.items() if count)
    texts = re.split(f"({marked})", text) if marked else [text]
    parts = [waiting[each[1:-1]].pop(0) if marked and re.fullmatch(marked, each) else _text(each) for each in texts]
    return [*first, *(part for part in parts if part.get("text") != "")]


def with_bytes(message: Message) -> Message:
    """A message whose media are the bytes of the files that it names. Raises: TunesmithError."""
    if not isinstance(message["content"], list):
        return message
    return {**message, "content": [_shown(part) for part in message["content"]]}


def _named(kind: str) -> str:
    return "sound" if kind == "audio" else kind


def _part(medium: Medium) -> dict[str, Any]:
    return {"type": medium.kind, medium.kind: str(medium.file)}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _shown(part: dict[str, Any]) -> dict[str, Any]:
    kind = part["type"]
    if kind not in MEDIA:
        return part
    name = _named(kind)
    try:
        return {"type": kind, kind: Path(part[kind]).read_bytes()}
    except (KeyError, TypeError):
        raise TunesmithError(f"{'an' if name == 'image' else 'a'} {name} of this conversation has no path") from None
    except OSError as error:
        raise TunesmithError(f"the {name} {part[kind]} cannot be read: {error.strerror}") from error
