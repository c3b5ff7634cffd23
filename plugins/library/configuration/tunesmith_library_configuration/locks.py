"""A folder that one process at a time writes to.

The lock is a file that only one process can make. It says whose it is, so that one which a killed process left is taken
over, and one of a living process, or of a machine that cannot be asked, is respected.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tunesmith_library_configuration.errors import ConfigError
from tunesmith_library_configuration.owners import Owner, this_process
from tunesmith_library_configuration.space import is_of_disk, remedy, shortage, unwritable

IN_FOLDER = "run.lock"
"""The lock of a folder to which files are added one by one; it stands in it."""

_HALF_WRITTEN = 10.0  # seconds after which a lock without an owner was left by a process killed while it wrote that
_logger = logging.getLogger("tunesmith")


def beside(folder: Path) -> Path:
    """The lock of a folder that comes to its place as a whole; it stands beside that place."""
    return folder.with_name(f".{folder.name}.lock")


@contextlib.contextmanager
def locked(lock: Path, folder: Path, work: str, patience: float = 0.0) -> Iterator[None]:
    """Hold a lock, and let go of it at the end, whatever that is.

    Args:
        patience: seconds to wait for another process that has it.
        lock: the file, whose folder is made.
        folder: what it guards, for messages.
        work: what is done there: `training`, `an export`.

    Raises: ConfigError when another process has it, with that process and what to do, or the file cannot be made.
    """
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        _acquire(lock, folder, work, time.monotonic() + patience)
    except OSError as error:
        reason, advice = shortage(error, lock.parent), remedy(error, "choose another folder")
        raise ConfigError(f"{folder} cannot be written to: {reason}.\n{advice}") from error
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(target: Path, work: str) -> Iterator[None]:
    """Hold the place to which a folder comes as a whole.

    Raises: ConfigError when it cannot be written to, another process writes to it, or the disk fails meanwhile.
    """
    if reason := unwritable(target):
        raise ConfigError(f"{target} cannot be written: {reason}.\nchoose another: --output FOLDER")
    refuse_inside(target)
    with locked(beside(target), target, work):
        try:
            yield
        except Exception as error:
            if not is_of_disk(error):
                raise
            raise ConfigError(
                f"{target} cannot be written: {shortage(error, target.parent)}; nothing of it is left.\n"
                f"{remedy(error, 'write it elsewhere: --output FOLDER')}"
            ) from error


def at_work(folder: Path, name: str, work: str) -> contextlib.AbstractContextManager[None]:
    """Be seen while files are added to a folder, so that nobody deletes it; others may do the same.

    Args:
        name: of what is added.

    Raises: ConfigError, when it is entered, while a process has the folder for itself.
    """
    return _seen(folder, folder / f".{name}.{this_process().mark}.lock", work)


@contextlib.contextmanager
def _seen(folder: Path, lock: Path, work: str) -> Iterator[None]:
    with locked(lock, folder, work):
        refuse_locked(folder / IN_FOLDER, folder)
        yield


def holder(lock: Path) -> tuple[Owner, dict[str, Any]] | None:
    """Who holds a lock, and what it says beside that (`work`, `since`); None for nobody, or one that was killed."""
    found = _read(lock) if lock.exists() else None
    return None if found is None or found[0].is_dead else found


def refuse_locked(lock: Path, folder: Path) -> None:
    """Raise ConfigError when another process holds a lock; one that a killed process left does not count."""
    found = holder(lock)
    if found is not None:
        raise _refusal(lock, folder, *found)


def refuse_inside(folder: Path) -> None:
    """Raise ConfigError when a folder lies in one that another process has for itself, as a run its own."""
    for parent in folder.resolve().parents:
        refuse_locked(parent / IN_FOLDER, parent)
        if parent.name:
            refuse_locked(beside(parent), parent)


def unfinished(folder: Path) -> ConfigError:
    """What is said of a run's folder without a result: who trains there, or how it gets one."""
    found = holder(folder / IN_FOLDER)
    if found is not None:
        owner, told = found
        where = "" if owner.is_here else f" on {owner.host}"
        return ConfigError(
            f"{folder} holds no trained model yet: process {owner.process}{where} trains there, since "
            f"{told.get('since', 'an unknown time')}.\nwait for its end, or take a checkpoint of it: model.path="
            f"{folder}/checkpoint-N"
        )
    return ConfigError(f"{folder} holds no trained model yet.\nfinish it: tunesmith train {folder} resume=true")


def _acquire(lock: Path, folder: Path, work: str, deadline: float) -> None:
    while not _made(lock, work):
        found = _read(lock)
        if found is None:
            if not _is_half_written(lock):
                time.sleep(0.05)
                continue
            _logger.warning("%s names no process, for the one that made it was killed; it is taken over", lock)
        elif found[0].is_dead:
            told = f"{found[1].get('work', 'work')} since {found[1].get('since', 'an unknown time')}"
            _logger.warning("%s: process %s (%s) was killed; its lock is taken over", folder, found[0].process, told)
        elif time.monotonic() < deadline:
            time.sleep(0.05)
            continue
        else:
            raise _refusal(lock, folder, *found)
        _take_away(lock, found)


def _made(lock: Path, work: str) -> bool:
    """Whether the lock's file was made by this call; of several processes that try, one makes it, also over NFS."""
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    text = json.dumps({"owner": dataclasses.asdict(this_process()), "work": work, "since": since}) + "\n"
    try:
        descriptor = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    try:
        os.write(descriptor, text.encode())
        os.fsync(descriptor)
    except OSError:  # such as no space: the next one must not find half a lock
        lock.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return True


def _read(lock: Path) -> tuple[Owner, dict[str, Any]] | None:
    """Whose a lock is, and what it says beside that; None when it says nothing that can be read."""
    try:
        told = json.loads(lock.read_text(encoding="utf-8"))
        return Owner(**told["owner"]), told
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _is_half_written(lock: Path) -> bool:
    try:
        return time.time() - lock.stat().st_mtime > _HALF_WRITTEN
    except FileNotFoundError:
        return False


def _take_away(lock: Path, seen: tuple[Owner, dict[str, Any]] | None) -> None:
    """Remove a lock that nobody holds. Several may try: each removes only the very file that it judged, under a lock on
    that file, so that none takes away what another has made in its place meanwhile.
    """
    try:
        file = lock.open("r+b")  # for writing, without which NFS gives no exclusive lock
    except FileNotFoundError:
        return
    with file:
        with contextlib.suppress(ImportError, OSError):  # a system, or a file system, without locks
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        if _is_at(lock, file.fileno()) and _read(lock) == seen:
            lock.unlink(missing_ok=True)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _refusal(lock: Path, folder: Path, owner: Owner, told: dict[str, Any]) -> ConfigError:
    work, since = told.get("work", "work"), told.get("since", "an unknown time")
    where = "" if owner.is_here else f" on {owner.host}"
    heading = f"{folder} is in use: process {owner.process}{where} writes there ({work}, since {since})."
    if owner.is_here:
        return ConfigError(f"{heading}\nwait for its end, end it with: kill {owner.process}, or choose another folder")
    return ConfigError(
        f"{heading}\nwhether it still runs cannot be seen from here. If it does not: rm {lock}\n"
        "else wait for its end, or choose another folder"
    )
