"""Deleting what is kept, beside runs that use it: what a process reads or makes stays."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from tunesmith_library_caching.holding import alone
from tunesmith_library_caching.listing import Kept, size_of
from tunesmith_library_caching.places import UNFINISHED

_DAY = 86_400


@dataclass(frozen=True)
class Choice:
    """What is to be deleted: whatever one of these is true of."""

    everything: bool = False
    older: float | None = None  # not used for as many days
    larger: int | None = None  # of more bytes
    damaged: bool = False
    leftovers: bool = False  # half written by processes that were killed
    unused: bool = False  # no run would take it now

    def __bool__(self) -> bool:
        return self != Choice()

    def why(self, kept: Kept) -> str:
        """Why a thing goes; "" when it stays."""
        days = (time.time() - kept.used) / _DAY
        reasons = [
            ("all", self.everything),
            (f"not used for {days:.0f} days", self.older is not None and days > self.older),
            ("its size", self.larger is not None and kept.size > self.larger),
            (f"damaged: {kept.damage}", self.damaged and kept.damage),
            ("left half written", self.leftovers and kept.kind == "leftover"),
            (kept.unused, self.unused and kept.unused),
        ]
        return next((reason for reason, true in reasons if true), "")


def prune(chosen: Iterable[Kept]) -> Iterator[tuple[Kept, int | None]]:
    """Delete things one by one, and give each with the bytes that were freed; None for one that is in use."""
    for kept in chosen:
        freed = None
        with contextlib.suppress(Timeout, OSError), _made_by_nobody(kept), alone(kept.place) as free:
            freed = _delete(kept) if free else None
        yield kept, freed


@contextlib.contextmanager
def _made_by_nobody(kept: Kept) -> Iterator[None]:
    """Hold the lock under which a thing is made. Raises: Timeout when somebody does."""
    beside = kept.kind == "leftover" and (kept.place.name.startswith(".") or kept.place.suffix == UNFINISHED)
    name = kept.name if beside else kept.place.name
    lock = kept.place.with_name(f"{name}.lock")
    with FileLock(lock, timeout=0):
        yield
        lock.unlink(missing_ok=True)


def _delete(kept: Kept) -> int:
    """Take a thing out of its place at once, then delete it; gives the bytes."""
    place, size = kept.place, size_of(kept.place) if kept.kind != "download" else kept.size
    if not place.is_dir():
        place.unlink()
        return size
    gone = place.with_name(f".{place.name.lstrip('.')[:40]}-deleted_")
    place.rename(gone)
    objects = _objects_of(gone) if kept.kind == "download" else []
    shutil.rmtree(gone)
    for one in objects:
        if one.stat().st_nlink == 1:
            one.unlink()
    return size


def _objects_of(listing: Path) -> list[Path]:
    """The objects of a store that the files of a listing are second names of."""
    numbers = {path.stat().st_ino for path in listing.rglob("*") if path.is_file()}
    objects = listing.parent.parent / "objects"
    return [path for path in objects.iterdir() if path.suffix != ".lock" and path.stat().st_ino in numbers]
