"""One thread that works off a queue: batches of rows that are computed as a whole, for searches with several beams and
models whose rows cannot join, and calls that want the model for themselves."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import TypeGuard, TypeVar

from tunesmith_library_engine.working import Call, QueueWorker

from .generating import Leaves
from .parts import all_of
from .rows import Row

T = TypeVar("T")


class Worker(QueueWorker[Row]):
    """The oldest row in the queue begins a batch, in which younger ones that go with it have a place."""

    def __init__(self, compute: Callable[[Sequence[Row], Leaves], None], batch_size: int) -> None:
        """
        Args:
            compute: computes a batch until all of its rows have ended, or it had better be left.
        """
        super().__init__()
        self._compute, self._batch_size = compute, batch_size

    def in_parts(self, function: Callable[[], Generator[None, None, T]]) -> T:
        """Do something that could be done in parts, in its turn."""
        return self.call(lambda: all_of(function()))

    def leaves(self, rows: int, going: int) -> bool:
        """Whether the rows that go on of a batch had better do so in another one.

        That costs computing them once more as far as they are. It is worthwhile when it lets as many begin as go on,
        and when three quarters of the batch are computed in vain.
        """
        with self._changed:
            waiting = itertools.takewhile(lambda item: _together(item, self._rows[0]), self._queue)
            joining = (item for item in waiting if not _over(item))
            places = sum(1 for _ in itertools.islice(joining, self._batch_size - going))
        return places >= going or going <= rows // 4

    def _work(self) -> None:
        while (item := self._next()) is not None:
            if isinstance(item, Call):
                item.run()
                continue
            try:
                self._compute(item, self.leaves)
            except BaseException as error:
                for row in item:
                    row.answer.fail(error)
            with self._changed:
                if not self._closed:
                    self._queue.extendleft(reversed(item))
                self._rows = []

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
        self._rows, passed = [first], deque[Row | Call]()
        while self._queue and len(self._rows) < self._batch_size:
            item = self._queue.popleft()
            if _together(item, first):
                self._rows += [] if _over(item) else [item]
                continue
            passed.append(item)
            if isinstance(item, Call) or first.made:
                break  # who waits for other weights gets a turn when those that were begun have ended
        self._queue.extendleft(reversed(passed))
        return list(self._rows)


def _together(item: Row | Call, row: Row) -> TypeGuard[Row]:
    """Whether what waits can be computed in the batch of a row."""
    return isinstance(item, Row) and item.goes_with(row)


def _over(item: Row | Call) -> bool:
    """Whether what waits has been cancelled."""
    return isinstance(item, Row) and item.answer.ended
