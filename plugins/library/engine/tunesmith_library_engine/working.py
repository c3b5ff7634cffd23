"""One thread that works off a queue: rows, which are answers to be computed, and calls that want the model alone."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tunesmith import TunesmithError
from tunesmith.types import Delta, FinishReason, LogProb

from tunesmith_library_engine.answers import StreamedAnswer

if TYPE_CHECKING:
    from tunesmith_library_engine.constraints import Constraint

T = TypeVar("T")


class Growing:
    """What rows have in common: an answer that grows by tokens until one ends it, or it has as many as it may have."""

    answer: StreamedAnswer
    made: list[int]  # the tokens of the answer
    ends: frozenset[int]  # tokens that end it
    limit: int  # tokens that it may have
    constraint: Constraint | None = None  # the grammar that it follows

    def push(self, token: int, log_prob: LogProb | None) -> None:
        """Take the next token, and end the answer if it is the last."""
        self.made.append(token)
        reason: FinishReason | None = None
        if token in self.ends:
            reason = "stop"
        elif len(self.made) >= self.limit:
            reason = "length"
        if self.constraint is not None and reason is None:
            self.constraint.push(token)
        self.answer.put(Delta((token,), (log_prob,) if log_prob else (), reason))


@dataclass(eq=False)
class Call:
    """Something that is done when all rows before it have ended, and before those behind it begin."""

    function: Callable[[], Any]
    done: Future[Any] = field(default_factory=Future)

    def run(self) -> None:
        """Do it; whoever waits for it gets what it gives or raises."""
        if not self.done.set_running_or_notify_cancel():
            return
        try:
            self.done.set_result(self.function())
        except BaseException as error:
            self.done.set_exception(error)


R = TypeVar("R", bound=Growing)


class QueueWorker(ABC, Generic[R]):
    """The queue and its thread, which starts with the first row or call.

    A subclass says in which order rows are computed, and which of them together. It holds `_changed` while it touches
    the queue or the rows.
    """

    def __init__(self) -> None:
        self._queue: deque[R | Call] = deque()
        self._changed = threading.Condition()
        self._rows: list[R] = []  # that are computed now
        self._thread: threading.Thread | None = None
        self._closed = False
        self.surroundings: Callable[[], AbstractContextManager[Any]] = nullcontext  # in which the thread works

    @contextmanager
    def held(self) -> Iterator[None]:
        """Begin nothing meanwhile, so that all that is added is there when the next is begun."""
        with self._changed:
            yield

    @property
    def running(self) -> int:
        """Answers that are computed now."""
        with self._changed:
            return sum(not row.answer.ended for row in self._rows)

    def add(self, item: R | Call) -> None:
        """Raises: TunesmithError when the worker is closed."""
        with self._changed:
            if self._closed:
                raise TunesmithError("this engine is closed")
            self._queue.append(item)
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
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
            if isinstance(item, Call):
                item.done.cancel()
            else:
                item.answer.cancel()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        with self.surroundings():
            self._work()

    @abstractmethod
    def _work(self) -> None:
        """Work until the worker is closed: what the thread does."""
