"""Archives of data files, zip and tar: unpacked once into the cache, and then read as the folders that they hold."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from tunesmith import DataError
from tunesmith.files import replacing
from tunesmith_library_caching import ARCHIVES, kept_in
from tunesmith_library_configuration.space import shortage

from . import compressed

SUFFIXES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")
_ERRORS = (zipfile.BadZipFile, tarfile.TarError, NotImplementedError, RuntimeError, *compressed.ERRORS)


def is_archive(path: Path) -> bool:
    """Whether the name is one of an archive."""
    return path.name.lower().endswith(SUFFIXES)


def unpacked(path: Path) -> Path:
    """A path in which an archive is the folder that it holds: `a.zip/en` is the folder `en` of what is in it.

    Raises: DataError for an archive that cannot be read.
    """
    for place in (path, *path.parents):
        if is_archive(place) and place.is_file():
            return _folder_of(place) / path.relative_to(place)
    return path


def _folder_of(archive: Path) -> Path:
    """Where an archive is unpacked, which is done when it is new or has changed."""
    found = archive.resolve().stat()
    stamp = f"{archive.resolve()}\0{found.st_size}\0{found.st_mtime_ns}"
    root = kept_in(ARCHIVES)
    folder = root / f"{archive.name.partition('.')[0]}-{hashlib.blake2b(stamp.encode(), digest_size=8).hexdigest()}"
    if folder.is_dir():
        with contextlib.suppress(OSError):
            os.utime(folder)  # when it was used
        return folder
    try:
        from filelock import FileLock

        root.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if folder.is_dir():  # meanwhile another process has done it, and may read there
                return folder
            with replacing(folder) as draft:
                draft.mkdir()
                _unpack(archive, draft)
    except _ERRORS as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise DataError(f"{archive} cannot be unpacked to {root}: {shortage(error, root)}") from error
        raise DataError(f"{archive} cannot be unpacked: {error or type(error).__name__}") from error
    return folder


def _unpack(archive: Path, folder: Path) -> None:
    """Write the files of an archive. Raises: DataError for a name that leads out of it."""
    members = _zip_members(archive) if archive.suffix.lower() == ".zip" else _tar_members(archive)
    for name, content in members:
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if ".." in parts or PurePosixPath(name).is_absolute() or ":" in parts[0]:
            raise DataError(f"{archive} holds a file that would stand outside of it: {name}")
        if any(part.startswith(".") or part == "__MACOSX" for part in parts):  # what file managers leave
            continue
        target = folder.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        with open(target, "wb") as sink:
            shutil.copyfileobj(content, sink, 1 << 20)


def _zip_members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            if not member.is_dir():
                with opened.open(member) as content:
                    yield member.filename, content


def _tar_members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Regular files only: links may lead anywhere."""
    with compressed.open_bytes(archive) as stream, tarfile.open(fileobj=stream, mode="r|") as opened:
        for member in opened:
            content = opened.extractfile(member) if member.isreg() else None
            if content is not None:
                yield str(PurePosixPath(member.name)), content
