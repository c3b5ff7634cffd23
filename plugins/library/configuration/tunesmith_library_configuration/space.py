"""Room on a disk: what is free where something is to be written, and what it means that writing failed."""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import tempfile
from pathlib import Path

from tunesmith_library_configuration.errors import ConfigError, TunesmithError

_logger = logging.getLogger("tunesmith")

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")
_OF_DISKS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO)
_OF_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, None)  # of which what is free tells something
_OF_LIBRARIES = re.compile(rf"os error ({'|'.join(map(str, _OF_DISKS))})\)|PytorchStreamWriter failed")


def is_of_disk(error: BaseException) -> bool:
    """Whether an error means that a disk is full, read-only or broken, also one of libraries that write themselves.

    One that says so itself, with what to do, is none of these.
    """
    if isinstance(error, TunesmithError):
        return False
    return (isinstance(error, OSError) and error.errno in _OF_DISKS) or bool(_OF_LIBRARIES.search(str(error)))


def free(folder: Path) -> int | None:
    """The bytes that may still be written into a folder, or to where it would be made; None when nobody knows."""
    place = next((place for place in (folder.absolute(), *folder.absolute().parents) if place.exists()), None)
    try:
        return None if place is None else shutil.disk_usage(place).free
    except OSError:
        return None


def unwritable(folder: Path) -> str | None:
    """Why a folder cannot be made or written to: `/data may not be written to`; None when it can."""
    places = (folder.absolute(), *folder.absolute().parents)
    broken = next((place for place in places if place.is_symlink() and not place.exists()), None)
    if broken is not None:
        return f"{broken} is a link to {os.readlink(broken)}, which is not there"
    place = next(place for place in places if place.exists())
    if not place.is_dir():
        return f"{place} is not a folder"
    if not os.access(place, os.W_OK | os.X_OK):
        return f"{place} may not be written to"
    return None if _takes_files(place) else f"{place} takes no files of ours"


def _takes_files(place: Path) -> bool:
    """Whether a file system keeps files; one of a system's own (`/proc`, `/sys`) has no room, and is asked with one."""
    try:
        if not hasattr(os, "statvfs") or os.statvfs(place).f_blocks:
            return True
        with tempfile.TemporaryFile(dir=place):
            return True
    except OSError:
        return False


def in_words(count: float) -> str:
    """A number of bytes as `1.5 GiB`."""
    for unit in _UNITS:
        if count < 1024 or unit == _UNITS[-1]:
            break
        count /= 1024
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"


def shortage(error: BaseException, folder: Path, needed: int | None = None) -> str:
    """Why something could not be written; where it is for want of room, with what it takes and what is free."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if not _is_of_room(error):
        return reason
    there = free(folder)
    parts = [f"about {in_words(needed)} are needed"] if needed else []
    parts += [] if there is None else [f"{in_words(there)} are free in {folder}"]
    return f"{reason} ({', '.join(parts)})" if parts else reason


def remedy(error: BaseException, elsewhere: str) -> str:
    """What to do about something that could not be written: `elsewhere`, or to make room where that is what lacks."""
    return f"free some, or {elsewhere}" if _is_of_room(error) else elsewhere


def _is_of_room(error: BaseException) -> bool:
    return not isinstance(error, OSError) or error.errno in _OF_ROOM


def refuse_little(folder: Path, needed: int, what: str) -> None:
    """Raise ConfigError, before anything is done for it, where a folder's disk will not hold what is to be written.

    Args:
        what: with its verb: `an export takes`.
    """
    there = free(folder)
    if there is not None and there < needed:
        raise ConfigError(
            f"{what} about {in_words(needed)}, and {in_words(there)} are free in {folder}.\n"
            "free some, or write it elsewhere: --output FOLDER"
        )


def warn_of_little(folder: Path, needed: int, what: str) -> None:
    """Say that a folder's disk will not hold what is about to be written.

    Args:
        what: with its verb: `checkpoints take`.
    """
    there = free(folder)
    if there is not None and there < needed:
        _logger.warning("%s about %s, and %s are free in %s", what, in_words(needed), in_words(there), folder)
