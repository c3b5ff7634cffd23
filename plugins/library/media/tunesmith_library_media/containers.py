"""Files of videos and sounds, opened with FFmpeg's libraries."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tunesmith.errors import DataError

from tunesmith_library_media.holding import beginning, name_of, source_of
from tunesmith_library_media.kinds import Kind, a

if TYPE_CHECKING:
    from av.container import InputContainer

_FORMATS = (
    "3gp,aac,ac3,aiff,amr,apng,asf,au,avi,caf,dv,flac,flv,gif,h264,hevc,ivf,m4v,matroska,mjpeg,mov,mp3,mp4,mpeg,"
    "mpegts,mpegvideo,mxf,nut,ogg,rm,w64,wav,webm"
)
"""What a file may be: formats that name no other files, as playlists do."""
_ENDLESS = 0x7FFF_0000  # bytes that what is written as it is heard says it has
_SLIGHT = 64  # bytes by which many a writer errs
_WHOLE = ("mov,mp4,m4a,3gp,3g2,mj2", "flac", "wav", "w64", "aiff", "au")  # whose head says exactly what follows


@contextlib.contextmanager
def opened(item: Any, kind: Kind) -> Iterator[InputContainer]:
    """
    Raises: DataError for what is neither video nor sound, also when that shows only in the body of the context.
    """
    import av

    source = source_of(item, kind)
    try:
        _refuse_short_riff(source)
        options = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
        with av.open(
            source if isinstance(source, io.BytesIO) else str(source), "r", options=options, metadata_errors="replace"
        ) as container:
            yield container
    except DataError as error:
        raise DataError(f"{name_of(item, kind)}: {error}") from error
    except (av.FFmpegError, OSError, ValueError, IndexError, EOFError, MemoryError, RuntimeError) as error:
        said = getattr(error, "strerror", None) or error
        begins = beginning(item, kind)
        raise DataError(f"{name_of(item, kind)}: it is no {what(kind)}, or broken: {said}; {begins}") from error


def _refuse_short_riff(source: Path | io.BytesIO) -> None:
    """Refuse a WAV or AVI file that is shorter than its head says, of which FFmpeg makes a shorter sound or video.

    Raises: DataError.
    """
    with open(source, "rb") if isinstance(source, Path) else contextlib.nullcontext(source) as file:
        head = file.read(8)
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
    said = int.from_bytes(head[4:], "little") + 8
    if head.startswith(b"RIFF") and said < _ENDLESS and size + _SLIGHT < said:
        raise DataError(f"it is cut off: {size:,} of {said:,} bytes are there")


def stream_of(container: InputContainer, kind: Literal["video", "audio"]) -> Any:
    """The first stream of a kind. Raises: DataError where there is none."""
    import av

    streams = container.streams.video if kind == "video" else container.streams.audio
    cover = av.stream.Disposition.attached_pic
    found = next((stream for stream in streams if not stream.disposition & cover), None)
    if found is None:
        others = ", ".join(stream.type for stream in container.streams) or "nothing"
        raise DataError(f"there is no {what(kind)} in it, but {others}")
    if found.codec_context is None:
        raise DataError(f"its {kind} is written in a way that cannot be read here")
    return found


def packets(container: InputContainer, stream: Any) -> tuple[int, int]:
    """How many packets a stream has, and how long they are together in its `time_base`; none is decoded.

    Raises: DataError for a file that ends before it should.
    """
    number = length = claimed = 0
    for packet in container.demux(stream):
        if packet.size:
            number, length = number + 1, length + (packet.duration or 0)
    if container.format.name in _WHOLE:
        claimed = stream.frames if stream.type == "video" else 0
        cut = number < claimed
        if stream.type == "audio" and stream.duration and number:
            slack = 0 if stream.codec_context.name == "flac" else 2 * length / number  # of others edit lists cut some
            cut = length + slack < stream.duration
        if cut:
            raise DataError(f"it is cut off: {_share(number, length, claimed, stream)}")
    return number, length


def _share(number: int, length: int, claimed: int, stream: Any) -> str:
    if claimed:
        return f"{number:,} of {claimed:,} frames are there"
    base = stream.time_base or Fraction(1)
    return f"{float(length * base):.2f} of {float(stream.duration * base):.2f} seconds are there"


def what(kind: Kind) -> str:
    """`sound`."""
    return a(kind).partition(" ")[2]
