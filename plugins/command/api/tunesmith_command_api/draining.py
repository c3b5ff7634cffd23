"""How a server ends: told to, it takes no more requests, lets those that run end, and then goes.

SIGTERM and SIGINT say so; a second one ends it at once. While it drains, `/health` answers 503, so that whatever
distributes requests sends them elsewhere; answers that are left when the time is over end with an
error that says so.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from types import FrameType

import uvicorn

from tunesmith_command_api.limits import Places

logger = logging.getLogger("tunesmith")


class DrainingServer(uvicorn.Server):
    """uvicorn's server, which ends when its requests have.

    Args:
        places: the requests that are open.
        seconds: that they may go on for once the server is told to end.
        end_answers: ends those that are left then, so that their requests are answered before uvicorn breaks them off.
    """

    def __init__(
        self, config: uvicorn.Config, places: Places, seconds: float, end_answers: Callable[[], object]
    ) -> None:
        super().__init__(config)
        self._places, self._seconds, self._end_answers = places, seconds, end_answers
        self._deadline: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """What a signal does."""
        self._captured_signals.append(sig)
        self.drain(signal.Signals(sig).name)

    def drain(self, why: str) -> None:
        """Begin to end; the second time, end now."""
        if self._deadline is not None or not self.started:
            self.should_exit = self.force_exit = True
            return
        self._places.draining = True
        self._deadline = time.monotonic() + self._seconds
        logger.info("%s: no more requests; %d that are open have %g s", why, self._places.open, self._seconds)

    async def on_tick(self, counter: int) -> bool:
        """Asked by uvicorn ten times a second: whether to end."""
        if self._deadline is not None and not self.should_exit:
            over = time.monotonic() >= self._deadline
            if over and self._places.open:
                logger.warning("%d requests have not ended in time and are cancelled", self._places.open)
                self._end_answers()
            self.should_exit = over or not self._places.open
        return await super().on_tick(counter)
