"""Compressed files: gzip, bzip2, xz and Zstandard, told by the end of their names."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Any


def _open_zstandard(path: Path) -> IO[bytes]:
    """Arrow's reader, which says where a file is cut short; some others end in silence."""
    import pyarrow

    source: Any = pyarrow.input_stream(str(path), compression="zstd")
    return io.BufferedReader(source, 1 << 20)


_OPENERS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".tgz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": _open_zstandard,
}
MAGIC = {
    b"\x1f\x8b": "gzip, whose name ends in .gz",
    b"BZh": "bzip2, whose name ends in .bz2",
    b"\xfd7zXZ": "xz, whose name ends in .xz",
    b"\x28\xb5\x2f\xfd": "Zstandard, whose name ends in .zst",
}
"""How such files begin, and what they are."""
ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError)
"""What reading a damaged one raises."""


def is_compressed(path: Path) -> bool:
    return path.suffix.lower() in _OPENERS


def without_suffix(path: Path) -> Path:
    """The name of what is compressed: `a.json` of `a.json.gz`."""
    return path.with_suffix("") if is_compressed(path) else path


def open_bytes(path: Path) -> IO[bytes]:
    """A stream of a file's content, whether it is compressed or not. Raises: what is in `ERRORS`, while it is read."""
    stream: IO[bytes] = _OPENERS.get(path.suffix.lower(), partial(open, mode="rb"))(path)
    return stream


def verify(path: Path) -> None:
    """Read a compressed file through to the checksum at its end. Raises: what is in `ERRORS`."""
    if is_compressed(path):
        with open_bytes(path) as stream:
            while stream.read(1 << 20):
                pass
