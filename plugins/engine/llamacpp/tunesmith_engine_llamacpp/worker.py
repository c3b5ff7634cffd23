"""One thread that works off a queue: answers, which are computed together as far as there is room, and calls that want
the model for themselves."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from tunesmith import TunesmithError

from .rows import Row

T = TypeVar("T")


class Computing(Protocol):
    """What the thread does."""

    def begin(self, row: Row) -> bool:
        """Give an answer its place; False while it has to wait for others."""

    def step(self, rows: list[Row]) -> None:
        """Compute the next batch of answers that have a place."""

    def end(self, row: Row) -> None:
        """Take its place from an answer."""

    def lose(self) -> None:
        """Forget what answers had whose computation failed."""


@dataclass(eq=False)
class Call:
    """Something that is done when all answers before it have ended, and before those behind it begin."""

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
    """The queue and its thread, which starts with the first answer or call. Whoever is first in the queue is next."""

    def __init__(self, computing: Computing) -> None:
        self._computing = computing
        self._queue: deque[Row | Call] = deque()
        self._changed = threading.Condition()
        self._rows: list[Row] = []  # that have a place
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def running(self) -> int:
        """Answers that are computed now."""
        with self._changed:
            return sum(not row.answer.ended for row in self._rows)

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

    def close(self) -> None:
        """End everything, and the thread."""
        with self._changed:
            self._closed = True
            left = [*self._rows, *self._queue]
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
        while self._wait():
            self._drop_ended()
            call = self._admit()
            if call is not None:
                call.run()
            elif self._rows:
                self._compute()

    def _wait(self) -> bool:
        """Wait until there is something to do; False when the worker is closed."""
        with self._changed:
            while not (self._closed or self._queue or self._rows):
                self._changed.wait()
            return not self._closed

    def _drop_ended(self) -> None:
        for row in [row for row in self._rows if row.answer.ended]:
            self._computing.end(row)
            with self._changed:
                self._rows.remove(row)

    def _admit(self) -> Call | None:
        """Give places to those who are next; a call, when its turn has come."""
        while True:
            with self._changed:
                if self._closed or not self._queue:
                    return None
                item = self._queue[0]
                if isinstance(item, Call):
                    return None if self._rows else self._taken(item)
            try:
                if not item.answer.ended and not self._computing.begin(item):
                    return None
            except BaseException as error:
                item.answer.fail(error)
            with self._changed:
                if self._queue and self._queue[0] is item:
                    self._queue.popleft()
                if item.sequence >= 0:
                    self._rows.append(item)

    def _taken(self, call: Call) -> Call:
        self._queue.popleft()
        return call

    def _compute(self) -> None:
        try:
            self._computing.step(self._rows)
        except BaseException as error:
            for row in self._rows:
                row.answer.fail(error)
            self._computing.lose()
            with self._changed:
                self._rows = []
