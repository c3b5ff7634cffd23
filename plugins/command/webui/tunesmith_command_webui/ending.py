"""The end of the server: some seconds after it was told to end, whatever a request's thread still does."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable

_GRACE = 4.0  # seconds that requests, and then what is closed, have to end in order, each


class Ending:
    """Closes once, and ends the process where threads of requests would keep it: Python waits for them without end.

    Args:
        close: ends what must not outlive the process.
    """

    def __init__(self, close: Callable[[], None]) -> None:
        self._close, self._lock, self._closed = close, threading.Lock(), False

    def close(self) -> None:
        """Close what is open; who comes second waits until the first is through."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._close()

    def within(self, number: int) -> None:
        """Begin to count: in some seconds the process is gone. Args: number: of the signal that asked for it."""
        timer = threading.Timer(_GRACE, self._end, [number])
        timer.daemon = True
        timer.start()

    def _end(self, number: int) -> None:
        closing = threading.Thread(target=self.close, daemon=True)
        closing.start()
        closing.join(_GRACE)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(128 + number)
