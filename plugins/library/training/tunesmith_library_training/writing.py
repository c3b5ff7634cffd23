"""A checkpoint that is written while training goes on: one at a time, in a thread of the main process."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor


class Writing:
    """What is being written, and what is to be told of it once it is there."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._written: Future[bool] | None = None
        self._tell: Callable[[], None] = _nothing

    def begin(self, write: Callable[[], bool], tell: Callable[[], None]) -> None:
        """Write in the background; the former must have been settled.

        Args:
            write: says whether it was written.
            tell: called by `settle` where it was.
        """
        self._pool = self._pool or ThreadPoolExecutor(1, "checkpoint")
        self._written, self._tell = self._pool.submit(write), tell

    def settle(self, wait: bool = True) -> None:
        """Tell of what was written.

        Args:
            wait: until it is; else only look.

        Raises: what writing it raised.
        """
        if self._written is None or not (wait or self._written.done()):
            return
        written, self._written = self._written, None
        if written.result():
            self._tell()


def _nothing() -> None:
    pass
