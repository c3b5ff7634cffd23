"""Signals that a launcher gets and passes on: the first has the run saved, the second has it stopped."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import Any

from tunesmith_library_launching.workers import Worker

_HEARD = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
_TOGETHER = 1.0  # seconds in which several signals are one, as where a whole group of processes got them
_STOPPING = 5.0  # seconds that a process has to stop at once


class Signals:
    """While entered, signals that this process gets go to the workers.

    Ctrl-C goes on as it is. What a terminal sends that is closed, or a cluster before it takes the machine (SIGHUP,
    SIGUSR1, SIGUSR2), goes on as SIGTERM, which workers save at. Outside the main thread, where Python delivers no
    signals, it changes nothing.
    """

    def __init__(self) -> None:
        self.workers: Sequence[Worker] = ()  # to which they go
        self.first: float | None = None  # when the first one came
        self.second: float | None = None
        self._former: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            numbers = [getattr(signal, name) for name in _HEARD if hasattr(signal, name)]
            ignored = [number for number in numbers if signal.getsignal(number) is signal.SIG_IGN]
            heard = [number for number in numbers if number not in ignored]  # nohup ignores SIGHUP
            self._former = {number: signal.signal(number, self._hear) for number in heard}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._former = {}

    def _hear(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.first is None:
            self.first = now
        elif now - self.first > _TOGETHER and self.second is None:
            self.second = now
        self.pass_on(number if number == signal.SIGINT else signal.SIGTERM)

    def pass_on(self, number: int) -> None:
        """Send a signal to all that run."""
        for worker in self.workers:
            if worker.code is None:
                worker.process.send_signal(number)

    def interrupt(self) -> None:
        """Do as if one had come: another machine got it."""
        self.first = time.monotonic()
        self.pass_on(signal.SIGTERM)

    @property
    def came(self) -> bool:
        """Whether the user has interrupted the run."""
        return self.first is not None

    @property
    def overdue(self) -> bool:
        """Whether what was told to stop at once runs still, as where it waits in compiled code."""
        return self.second is not None and time.monotonic() - self.second > _STOPPING
