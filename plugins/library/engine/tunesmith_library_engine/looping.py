"""One thread with an event loop, in which each answer is a task: for engines that are asked asynchronously."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine
from concurrent.futures import CancelledError, Future, wait
from typing import Any, TypeVar

from tunesmith import TunesmithError
from tunesmith.types import Delta

from tunesmith_library_engine.answers import StreamedAnswer

T = TypeVar("T")

Deltas = Callable[[], AsyncGenerator[Delta, None]]
"""Begins an answer, and gives what is said; closing it gives up what is computed for it."""


class TaskLoop:
    """The loop, whose thread starts with the first answer or call."""

    def __init__(self, most: int | None = None) -> None:
        """
        Args:
            most: answers that are asked for at a time; the others wait. None: the engine has a queue of its own.
        """
        self.most = most
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._places: asyncio.Semaphore | None = None
        self._open: set[Future[Any]] = set()
        self._running = 0
        self._closed = False

    @property
    def running(self) -> int:
        """Answers that are asked for now, without those that wait."""
        return self._running

    def begin(self, deltas: Deltas, kind: type[StreamedAnswer] = StreamedAnswer) -> StreamedAnswer:
        """Begin an answer, of this class.

        Raises: TunesmithError when the loop is closed.
        """
        begun: list[Future[None]] = []

        def give_up() -> None:
            begun[0].cancel()

        answer = kind(give_up)
        begun.append(self._start(self._write(answer, deltas)))
        return answer

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something in the loop, and wait for what it gives or raises.

        Raises: TunesmithError when the loop is closed, before or meanwhile.
        """
        try:
            return self._start(work).result()
        except CancelledError:
            raise TunesmithError("this engine was closed") from None

    def settle(self) -> None:
        """Wait until all that was begun before has ended."""
        with self._lock:
            left = list(self._open)
        wait(left)

    def close(self, last: Callable[[], Coroutine[Any, Any, Any]] | None = None) -> None:
        """End what runs, and the thread; answers are to be cancelled before, for of one that has not begun none knows.

        Args:
            last: done in the loop at its end.
        """
        with self._lock:
            already, self._closed = self._closed, True
            loop, thread = self._loop, self._thread
        if already or loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._end(last), loop)
        if thread is not threading.current_thread():
            thread.join()

    # ---- in the loop

    async def _write(self, answer: StreamedAnswer, deltas: Deltas) -> None:
        """Put what is said into an answer, whatever becomes of it."""
        try:
            async with self._places or contextlib.nullcontext():
                self._running += 1
                try:
                    async with contextlib.aclosing(deltas()) as told:
                        async for delta in told:
                            answer.put(delta)
                            if answer.ended:
                                break
                finally:
                    self._running -= 1
            answer.fail(TunesmithError("the engine ended an answer without saying why"))  # nothing, where it has ended
        except asyncio.CancelledError:
            answer.cancel()
            raise
        except BaseException as error:
            answer.fail(error)

    async def _end(self, last: Callable[[], Coroutine[Any, Any, Any]] | None) -> None:
        """Cancel every task but this one, and stop the loop."""
        try:
            await _cancelled()
            if last is not None:
                with contextlib.suppress(Exception):  # what is closed may be broken
                    await last()
            await _cancelled()
        finally:
            asyncio.get_running_loop().stop()

    def _start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        with self._lock:
            if self._closed:
                work.close()
                raise TunesmithError("this engine is closed")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._places = asyncio.Semaphore(self.most) if self.most else None
                self._thread = threading.Thread(target=_run, args=(self._loop,), name="engine", daemon=True)
                self._thread.start()
            begun = asyncio.run_coroutine_threadsafe(work, self._loop)
            self._open.add(begun)
        begun.add_done_callback(self._ended)
        return begun

    def _ended(self, begun: Future[Any]) -> None:
        with self._lock:
            self._open.discard(begun)


async def _cancelled() -> None:
    """Cancel every task but this one, and wait for them."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
