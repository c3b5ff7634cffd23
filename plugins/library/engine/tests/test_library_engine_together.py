"""Requests that are begun together: all or none, and none before all are there."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from tunesmith import TunesmithError
from tunesmith.types import Delta, Request
from tunesmith_library_engine import StreamedAnswer, submit_all, submitted
from tunesmith_library_engine.working import Growing, QueueWorker


class Row(Growing):
    """An answer that nobody computes."""

    def __init__(self) -> None:
        self.answer = StreamedAnswer()


class Counting(QueueWorker[Row]):
    """Notes how many rows there are whenever it begins some."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[int] = []
        self.inside: list[bool] = []
        self.surroundings = self._surrounded

    @contextlib.contextmanager
    def _surrounded(self) -> Iterator[None]:
        self.inside.append(True)
        yield
        self.inside.append(False)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not (self._queue or self._closed):
                    self._changed.wait()
                if self._closed:
                    return
                self.begun.append(len(self._queue))
                rows = [self._queue.popleft() for _ in range(len(self._queue))]
            for row in rows:
                assert isinstance(row, Row)
                row.answer.put(Delta((1,), finish_reason="stop"))


def test_a_worker_begins_nothing_while_it_is_held() -> None:
    worker, rows = Counting(), [Row() for _ in range(20)]
    with worker.held():
        for row in rows:
            worker.add(row)
            threading.Event().wait(0.002)  # in which another thread would have begun
    assert [row.answer.result().token_ids for row in rows] == [(1,)] * 20
    worker.close()
    assert worker.begun == [20]
    assert worker.inside == [True, False], "the thread works in its surroundings, and leaves them"


def test_an_engine_is_asked_for_all_if_it_can_be_and_one_by_one_if_not() -> None:
    asked: list[Any] = []

    def submit(request: Request) -> StreamedAnswer:
        if not request.prompt:
            raise TunesmithError("the prompt is empty")
        asked.append(StreamedAnswer())
        return asked[-1]

    plain: Any = SimpleNamespace(submit=submit)
    assert submit_all(plain, [Request([1]), Request([2])]) == asked and len(asked) == 2
    able: Any = SimpleNamespace(submit=submit, submit_all=lambda requests: [len(requests)])
    assert submit_all(able, [Request([1]), Request([2])]) == [2]
    asked.clear()
    with pytest.raises(TunesmithError, match="empty"):
        submitted(plain, [Request([1]), Request([2]), Request([])])
    assert [answer.result().finish_reason for answer in asked] == ["cancelled"] * 2
