"""One thread that works off a queue: answers, which are computed together as far as there is room, and calls that want
the model for themselves."""

from __future__ import annotations

from typing import Protocol

from tunesmith_library_engine.working import Call, QueueWorker

from .rows import Row


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


class Worker(QueueWorker[Row]):
    """Rows get their places in the order in which they come, and are computed together."""

    def __init__(self, computing: Computing) -> None:
        super().__init__()
        self._computing = computing

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
