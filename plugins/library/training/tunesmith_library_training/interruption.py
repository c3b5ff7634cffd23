"""Ctrl-C that loses nothing: the first one asks the loop to finish its step and save, the second one stops at once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from types import FrameType
from typing import Any

from tunesmith.messages import logger

SIGNALS = (signal.SIGINT, signal.SIGTERM)
TOGETHER = 1.0  # seconds in which two signals are one: a launcher passes on what the terminal sent already


class Interruption:
    """While entered, SIGINT and SIGTERM set `requested`; a second one raises KeyboardInterrupt.

    Outside the main thread, where Python delivers no signals, it changes nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self._since = 0.0
        self._process = os.getpid()
        self._former: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._former = {number: signal.signal(number, self._hear) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._former = {}

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a forked worker of the data loader
            return
        if not self.requested:
            self.requested, self._since = True, time.monotonic()
            with contextlib.suppress(RuntimeError):  # the signal came while the same stream was being written to
                logger.warning("interrupted: finishing this step and saving a checkpoint (again: stop at once)")
        elif time.monotonic() - self._since > TOGETHER:
            raise KeyboardInterrupt
