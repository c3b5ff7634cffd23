"""An answer that one thread writes and others read while it grows."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from itertools import chain
from typing import Any

from tunesmith.types import Delta

logger = logging.getLogger("tunesmith")

Listener = Callable[[Delta | BaseException], None]


class StreamedAnswer:
    """The `Answer` of an engine: the engine puts deltas in, readers get each of them.

    What is put in behind the end is dropped, so an answer may be cancelled at any moment while the engine, which sees
    `ended`, still computes its next token.
    """

    def __init__(self, when_cancelled: Callable[[], None] | None = None) -> None:
        """
        Args:
            when_cancelled: tells an engine that has to be told; called at most once, in the thread that cancels.
        """
        self.cached_tokens = 0  # of the prompt, that the engine had computed before; told before the first delta
        self._when_cancelled = when_cancelled
        self._lock = threading.RLock()  # a listener may cancel
        self._told: list[Delta | BaseException] = []
        self._listeners: list[Listener] = []
        self._heard = 0  # how many of the told every listener has heard
        self._telling = False
        self._ended = False

    # ---- the engine's side

    @property
    def ended(self) -> bool:
        """Whether nothing more can be said: the answer is whole, cancelled, or failed."""
        return self._ended

    def put(self, delta: Delta) -> None:
        """Say what is new; a finish reason ends the answer."""
        self._tell(delta, delta.finish_reason is not None)

    def fail(self, error: BaseException) -> None:
        """End the answer by an exception, which its readers get."""
        self._tell(error, True)

    def _tell(self, item: Delta | BaseException, last: bool) -> bool:
        """Tell all listeners; False when the answer had ended."""
        with self._lock:
            if self._ended:
                return False
            self._ended = last
            self._told.append(item)
            if not self._telling:  # else a listener said it, and all hear it behind what they hear now
                self._telling = True
                while self._heard < len(self._told):
                    self._heard += 1
                    self._tell_all(self._told[self._heard - 1])
                self._telling = False
                if self._ended:
                    self._listeners.clear()
            return True

    def _tell_all(self, item: Delta | BaseException) -> None:
        for listener in list(self._listeners):
            try:
                listener(item)
            except Exception:  # one reader's mistake is not the engine's, nor that of the other answers of its batch
                logger.exception("a listener of an answer failed, and hears no more of it")
                self._listeners.remove(listener)

    # ---- the readers' side

    def cancel(self) -> None:
        cancelled = self._tell(Delta((), finish_reason="cancelled"), True)
        if cancelled and self._when_cancelled:
            self._when_cancelled()

    def listen(self, listener: Listener) -> None:
        with self._lock:
            for item in self._told[: self._heard]:
                listener(item)
            self._listeners.append(listener)

    def __iter__(self) -> Iterator[Delta]:
        told: queue.SimpleQueue[Delta | BaseException] = queue.SimpleQueue()
        self.listen(told.put)
        delta = _said(told.get())
        while delta.finish_reason is None:
            yield delta
            delta = _said(told.get())
        yield delta

    async def __aiter__(self) -> AsyncIterator[Delta]:
        import asyncio  # which a plan does without

        loop = asyncio.get_running_loop()
        told: asyncio.Queue[Delta | BaseException] = asyncio.Queue()

        def hand_over(item: Delta | BaseException) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody reads there any more
                loop.call_soon_threadsafe(told.put_nowait, item)

        self.listen(hand_over)
        delta = _said(await told.get())
        while delta.finish_reason is None:
            yield delta
            delta = _said(await told.get())
        yield delta

    def result(self) -> Delta:
        return joined(self)

    def __await__(self) -> Generator[Any, None, Delta]:
        return self._whole().__await__()

    async def _whole(self) -> Delta:
        return joined([delta async for delta in self])


def joined(deltas: Iterable[Delta]) -> Delta:
    """Several deltas of one answer as one."""
    told = list(deltas)
    return Delta(
        tuple(chain.from_iterable(delta.token_ids for delta in told)),
        tuple(chain.from_iterable(delta.log_probs for delta in told)),
        told[-1].finish_reason if told else None,
    )


def _said(item: Delta | BaseException) -> Delta:
    if isinstance(item, BaseException):
        raise item
    return item
