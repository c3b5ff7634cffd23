"""From the threads of engines into one event loop, many messages at a time."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any


class Mailbox:
    """Calls functions in an event loop with what other threads have for them.

    Waking a loop costs a system call, and an engine that computes sixty answers together has sixty messages at a time:
    the loop is woken once for all that come before it looks.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._items: deque[tuple[Callable[[Any], None], Any]] = deque()
        self._woken = False

    def put(self, receive: Callable[[Any], None], item: Any) -> None:
        """Have `receive(item)` called in the loop; from any thread, returns at once."""
        self._items.append((receive, item))
        if not self._woken:
            self._woken = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody reads there any more
                self.loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._woken = False  # first: whoever puts something in from now on wakes the loop again
        while self._items:
            receive, item = self._items.popleft()
            receive(item)
