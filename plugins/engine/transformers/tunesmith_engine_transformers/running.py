"""One thread in which requests come and go: rows join those that run between two of their tokens."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import CancelledError
from typing import TypeVar

from tunesmith import TunesmithError
from tunesmith_library_engine.working import Call, QueueWorker

from .computation import Computation
from .parts import Parts
from .rows import Row

T = TypeVar("T")


class Running(QueueWorker[Row]):
    """Rows have a place in the order in which they come; calls that want the model alone wait until all have ended.

    Args:
        batch_size: rows that have a place at a time.
    """

    def __init__(self, computation: Computation, batch_size: int) -> None:
        super().__init__()
        self._computation, self._batch_size = computation, batch_size
        self._parts: list[Parts] = []

    def in_parts(self, function: Callable[[], Generator[None, None, T]]) -> T:
        """Do something beside the rows that run, and wait for what its iterator returns, or it raises."""
        parts = Parts(function)
        self.add(parts)
        try:
            result: T = parts.done.result()
        except CancelledError:
            raise TunesmithError("this engine was closed") from None
        return result

    def close(self) -> None:
        super().close()
        vars(self).pop("_computation", None)  # the model goes with it

    def _work(self) -> None:
        computation = self._computation
        while self._wait():
            call = self._admit()
            if call is not None:
                computation.idle()
                call.run()
                continue
            self._parts = [parts for parts in self._parts if not parts.advance()]
            computation.step()
        computation.idle()
        computation.lose()
        for parts in self._parts:
            parts.done.cancel()

    def _wait(self) -> bool:
        """Wait until there is something to do; False when the worker is closed."""
        with self._changed:
            self._rows = [row for row in self._rows if not row.answer.ended]
            if not (self._closed or self._queue or self._rows or self._parts):
                self._computation.step()  # rows that were cancelled leave
                self._computation.idle()
            while not (self._closed or self._queue or self._rows or self._parts):
                self._changed.wait()
            return not self._closed

    def _admit(self) -> Call | None:
        """Give places to those who are next; a call that wants the model alone, when its turn has come."""
        with self._changed:
            self._parts += [item for item in self._queue if isinstance(item, Parts)]
            waiting = [item for item in self._queue if not isinstance(item, Parts)]
            call: Call | None = None
            while waiting and call is None:
                item = waiting[0]
                if isinstance(item, Call):
                    if self._rows or self._parts:
                        break
                    call = item
                elif not item.answer.ended:
                    if len(self._rows) >= self._batch_size:
                        break
                    self._rows.append(item)
                    self._computation.begin(item)
                waiting.pop(0)
            self._queue.clear()
            self._queue.extend(waiting)
            return call
