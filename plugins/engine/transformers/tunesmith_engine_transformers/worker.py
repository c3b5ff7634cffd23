"""One thread that works off a queue: batches of rows, and calls that want the model for themselves."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import Any, TypeGuard, TypeVar

from tunesmith import TunesmithError

from .rows import Row

T = TypeVar("T")


@dataclass(eq=False)
class Call:
    """Something that is done when all rows before it have ended, and before those behind it begin."""

    function: Callable[[], Any]
    done: Future[Any] = field(default_factory=Future)

    def run(self) -> None:
        if not self.done.set_running_or_notify_cancel():
            return
        try:
            self.done.set_result(self.function())
        except BaseException as error:
            self.done.set_exception(error)


class Worker:
    """The queue and its thread, which starts with the first row or call.

    The oldest row in the queue begins a batch, in which younger ones that go with it have a place.
    """

    def __init__(self, compute: Callable[[Sequence[Row]], None], batch_size: int) -> None:
        """
        Args:
            compute: computes a batch until all of its rows have ended, or it had better be left (`leaves`).
        """
        self._compute, self._batch_size = compute, batch_size
        self._queue: deque[Row | Call] = deque()
        self._changed = threading.Condition()
        self._batch: list[Row] = []
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def running(self) -> int:
        """Answers that are computed now."""
        with self._changed:
            return sum(not row.answer.ended for row in self._batch)

    def add(self, item: Row | Call) -> None:
        """Raises: TunesmithError when the worker is closed."""
        with self._changed:
            if self._closed:
                raise TunesmithError("this engine is closed")
            self._queue.append(item)
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
                self._thread.start()

    def call(self, function: Callable[[], T]) -> T:
        """Do something in the thread, and wait for what it gives or raises."""
        call = Call(function)
        self.add(call)
        try:
            result: T = call.done.result()
        except CancelledError:
            raise TunesmithError("this engine was closed") from None
        return result

    def leaves(self, rows: int, going: int) -> bool:
        """Whether the rows that go on of a batch had better do so in another one.

        That costs computing them once more as far as they are. It is worthwhile when it lets as many begin as go on,
        and when three quarters of the batch are computed in vain.
        """
        with self._changed:
            waiting = itertools.takewhile(lambda item: _together(item, self._batch[0]), self._queue)
            joining = (item for item in waiting if not _over(item))
            places = sum(1 for _ in itertools.islice(joining, self._batch_size - going))
        return places >= going or going <= rows // 4

    def close(self) -> None:
        """End everything, and the thread."""
        with self._changed:
            self._closed = True
            left = [*self._batch, *self._queue]
            self._queue.clear()
            self._changed.notify()
        for item in left:
            if isinstance(item, Row):
                item.answer.cancel()
            else:
                item.done.cancel()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _work(self) -> None:
        while (item := self._next()) is not None:
            if isinstance(item, Call):
                item.run()
                continue
            try:
                self._compute(item)
            except BaseException as error:
                for row in item:
                    row.answer.fail(error)
            with self._changed:
                if not self._closed:
                    self._queue.extendleft(reversed(item))
                self._batch = []

    def _next(self) -> list[Row] | Call | None:
        """Wait for what is to be done next: a call or a batch; None when the worker is closed."""
        with self._changed:
            while not self._closed:
                while self._queue and _over(self._queue[0]):
                    self._queue.popleft()
                if self._queue:
                    return self._taken()
                self._changed.wait()
        return None

    def _taken(self) -> list[Row] | Call:
        """Take the oldest in the queue out of it, and what goes with it."""
        first = self._queue.popleft()
        if isinstance(first, Call):
            return first
        self._batch, passed = [first], deque[Row | Call]()
        while self._queue and len(self._batch) < self._batch_size:
            item = self._queue.popleft()
            if _together(item, first):
                self._batch += [] if _over(item) else [item]
                continue
            passed.append(item)
            if isinstance(item, Call) or first.made:
                break  # who waits for other weights gets a turn when those that were begun have ended
        self._queue.extendleft(reversed(passed))
        return list(self._batch)


def _together(item: Row | Call, row: Row) -> TypeGuard[Row]:
    """Whether what waits can be computed in the batch of a row."""
    return isinstance(item, Row) and item.goes_with(row)


def _over(item: Row | Call) -> bool:
    """Whether what waits has been cancelled."""
    return isinstance(item, Row) and item.answer.ended
