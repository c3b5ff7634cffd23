"""The pieces of a SentencePiece model, read from its file, which is a message of protocol buffers.

Source: sentencepiece_model.proto of google/sentencepiece; only the pieces are read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tunesmith import TunesmithError

_VARINT, _WIDE, _BYTES, _NARROW = 0, 1, 2, 5  # how a field of a message is written
_PIECES = 1  # number of the field of a model that holds its pieces


@dataclass(frozen=True)
class Piece:
    """One token."""

    text: str
    score: float
    kind: int  # 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte


def pieces_of(file: Path) -> list[Piece]:
    """The pieces of a tokenizer.model, in the order of their ids.

    Raises: TunesmithError when the file is none.
    """
    try:
        fields = _fields(file.read_bytes())
        found = [_piece(value) for number, value in fields if number == _PIECES and isinstance(value, bytes)]
    except (ValueError, IndexError, struct.error, UnicodeDecodeError) as error:
        raise TunesmithError(f"{file} is no SentencePiece model: {error}") from error
    if not found:
        raise TunesmithError(f"{file} is no SentencePiece model: it has no pieces")
    return found


def _piece(message: bytes) -> Piece:
    text, score, kind = "", 0.0, 1
    for number, value in _fields(message):
        if number == 1 and isinstance(value, bytes):
            text = value.decode("utf-8")
        elif number == 2 and isinstance(value, bytes):
            (score,) = struct.unpack("<f", value)
        elif number == 3 and isinstance(value, int):
            kind = value
    return Piece(text, score, kind)


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message: their numbers, and integers, or the bytes of everything else."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, form = key >> 3, key & 7
        if form == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if form == _BYTES:
            length, at = _varint(message, at)
        elif form in (_WIDE, _NARROW):
            length = 8 if form == _WIDE else 4
        else:
            raise ValueError(f"a field is written as {form}")
        if at + length > len(message):
            raise ValueError("it ends too early")
        yield number, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """An integer of seven bits a byte, and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
