"""Who uses a folder of a cache: a lock on it that ends with the process, so that nobody deletes it meanwhile.

Readers share the lock; who deletes must have it alone. Systems without `flock`, such as Windows, keep opened files by
themselves.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]


class Hold:
    """A folder that is read as long as this exists; one that is being deleted is waited for, and gone then."""

    def __init__(self, folder: Path) -> None:
        self._descriptor: int | None = None
        if fcntl is None:
            return
        with contextlib.suppress(OSError):  # a file system without locks
            self._descriptor = os.open(folder, os.O_RDONLY)
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def release(self) -> None:
        """Let go of it, which the end of the process does too."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __del__(self) -> None:
        self.release()


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[bool]:
    """Whether nobody reads a folder while the block lasts; not where that cannot be told."""
    if fcntl is None:
        yield True
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
