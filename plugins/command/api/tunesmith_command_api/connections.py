"""Connections of clients that are slow on purpose, or have gone without a word: neither may hold memory or a place.

uvicorn waits for ever for the first headers, and for a client to take what is sent to it. What is written to a
connection waits in the transport up to its mark (64 KiB); behind that the answer waits, and grows with the model. So a
client that takes nothing for some time is cut off, which its request hears as a client that hung up.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

_Connection: Any = AutoHTTPProtocol  # loop, transport and cycle are in each that it may be


def timed(seconds: float) -> type[asyncio.Protocol]:
    """The connections of a server, with limits of time.

    Args:
        seconds: for the headers of a request to arrive, and for a client to take what is sent.

    Returns: a class for `uvicorn.Config(http=…)`.
    """
    return type("Timed", (Timed,), {"seconds": seconds})


class Timed(_Connection):  # type: ignore[misc]
    """A connection that ends when its client takes too long."""

    seconds: float  # that it may take

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._headers_timer: Any = None
        self._writing_timer: Any = None
        self._watch_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_headers()

    def connection_lost(self, error: Exception | None) -> None:
        self._stop_headers_timer()
        self._stop_writing_timer()
        super().connection_lost(error)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._writing_timer = self.loop.call_later(self.seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_writing_timer()
        super().resume_writing()

    def _watch_headers(self) -> None:
        """Wait for the headers of a request while there is none that is answered."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_headers_timer()
        elif self._headers_timer is None and not self.transport.is_closing():
            self._headers_timer = self.loop.call_later(self.seconds, self._give_up)

    def _stop_headers_timer(self) -> None:
        if self._headers_timer is not None:
            self._headers_timer.cancel()
            self._headers_timer = None

    def _stop_writing_timer(self) -> None:
        if self._writing_timer is not None:
            self._writing_timer.cancel()
            self._writing_timer = None

    def _give_up(self) -> None:
        self._headers_timer = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
