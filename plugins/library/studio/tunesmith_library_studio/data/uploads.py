"""Files that come in pieces: a piece that got lost is sent again, and nothing counts before the whole was looked at."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import re
import secrets
import shutil
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tunesmith import DataError, TunesmithError
from tunesmith.files import replacing

from .opening import PACKED, SUFFIXES, is_data

PIECE = 8 << 20  # bytes of one piece, at most
_AGE = 86_400.0  # seconds after which an upload that nobody finished is forgotten
_LONGEST = 200  # bytes of a name: file systems take 255, and ours is put before it
_NAME = re.compile(r"[^\W_][\w .()+-]*")
_ID = re.compile(r"[0-9a-f]{32}")


class Uploads:
    """Uploads on their way.

    Args:
        folder: of those that are not whole yet.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, name: str, size: int, most: int) -> dict[str, Any]:
        """Announce a file. Returns: `id`, `offset`, `piece` (bytes of a piece at most).

        Raises: DataError for a name that is no data file's, or a size over the limit.
        """
        file_name(name)
        if size < 1:
            raise DataError(f"{name} is empty")
        if size > most:
            raise DataError(f"{name} has {size:,} bytes, and {most:,} are taken\n  --max-upload-bytes allows more")
        self._folder.mkdir(parents=True, exist_ok=True)
        self._forget_old()
        made = secrets.token_hex(16)
        self._part(made).touch()
        self._about(made).write_text(json.dumps({"name": name, "size": size, "most": most}), "utf-8")
        return {"id": made, "offset": 0, "piece": PIECE}

    def offset(self, upload: str) -> int:
        """How many bytes of a file are there."""
        return self._known(upload).stat().st_size

    def add(self, upload: str, offset: int, piece: bytes) -> int:
        """Take a piece. Returns: how many bytes are there now.

        Raises: DataError where it does not begin where the last one ended, or is too large.
        """
        part = self._known(upload)
        size = json.loads(self._about(upload).read_text("utf-8"))["size"]
        here = part.stat().st_size
        if offset != here:
            raise DataError(f"the piece begins at {offset:,}, and {here:,} bytes are here\n  send it from there")
        if len(piece) > PIECE or here + len(piece) > size:
            raise DataError(f"more bytes come than were announced ({size:,}), or a piece has more than {PIECE:,}")
        with part.open("ab") as stream:
            stream.write(piece)
        return here + len(piece)

    def finish(self, upload: str, into: Path, look: Callable[[Path], Any]) -> tuple[Path, Any]:
        """Put a whole file in its place, unless a look at it finds it unusable: then it is deleted.

        Returns: where it is, under another number where its name was taken; and what the look gave.
        Raises: DataError where bytes are missing; what `look` raises.
        """
        part = self._known(upload)
        about = json.loads(self._about(upload).read_text("utf-8"))
        if part.stat().st_size != about["size"]:
            raise DataError(f"{about['name']}: {part.stat().st_size:,} of {about['size']:,} bytes are here")
        named = part.with_name(f"{upload}-{about['name']}")
        os.replace(part, named)
        self._about(upload).unlink()
        try:
            refuse_large(named, about["name"], about["most"])
            found = look(named)
            return keep(named, into, about["name"]), found
        except TunesmithError as error:
            said = str(error).replace(str(named), about["name"]).replace(named.name, about["name"])
            raise DataError(said) from error
        finally:
            named.unlink(missing_ok=True)

    def _known(self, upload: str) -> Path:
        part = self._part(upload)
        if not _ID.fullmatch(upload) or not part.is_file():
            raise TunesmithError("there is no such upload\n  begin it again")
        return part

    def _part(self, upload: str) -> Path:
        return self._folder / f"{upload}.part"

    def _about(self, upload: str) -> Path:
        return self._folder / f"{upload}.json"

    def _forget_old(self) -> None:
        for path in self._folder.iterdir():
            if time.time() - path.stat().st_mtime > _AGE:
                path.unlink(missing_ok=True)


def file_name(name: str) -> str:
    """A name that a data file may have. Raises: DataError for a path, a hidden file, and what is no data."""
    if not _NAME.fullmatch(name) or ".." in name or not is_data(Path(name)):
        kinds = f"{', '.join(SUFFIXES)}, also with {', '.join(PACKED)}"
        raise DataError(f"{name[:100]!r} is no name of a data file\n  a name without folders that ends in {kinds}")
    if len(name.encode()) > _LONGEST:
        raise DataError(f"{name[:40]}… has {len(name.encode())} bytes as a name\n  at most {_LONGEST} are possible")
    return name


def refuse_large(file: Path, name: str, most: int) -> None:
    """Refuse a compressed file that is larger than may be uploaded when it is unpacked. Raises: DataError."""
    openers: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    opener = openers.get(file.suffix.lower())
    if opener is None:
        return
    size = 0
    try:
        with opener(file, "rb") as stream:
            while block := stream.read(1 << 20):
                size += len(block)
                if size > most:
                    raise DataError(f"{name} has more than {most:,} bytes unpacked\n  --max-upload-bytes allows more")
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{name} cannot be unpacked: {error}") from error


def keep(file: Path, into: Path, name: str) -> Path:
    """Move a file to a folder under its name, or with a number where that is taken."""
    into.mkdir(parents=True, exist_ok=True)
    if file.stat().st_dev != into.stat().st_dev:
        with replacing(into / f".{file.name}") as draft:
            shutil.copyfile(file, draft)
        file = into / f".{file.name}"
        try:
            return keep(file, into, name)
        finally:
            file.unlink()
    stem, dot, ending = name.partition(".")
    for number in range(1, 10_000):
        target = into / (name if number == 1 else f"{stem}-{number}{dot}{ending}")
        try:
            os.link(file, target)  # which fails where the name is taken, and never writes over it
        except FileExistsError:
            continue
        return target
    raise TunesmithError(f"{into} has too many files called {name}")
