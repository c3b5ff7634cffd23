"""The loop in which answers are tasks, with engines that are written out here."""

import asyncio
import threading
import time

import pytest
from tunesmith import TunesmithError
from tunesmith.types import Delta
from tunesmith_library_engine.looping import TaskLoop
from tunesmith_library_engine.schemas import schema_of


@pytest.fixture
def loop():
    made = TaskLoop(2)
    yield made
    made.close()


def counting(number, seconds=0.0, ended=None):
    """Gives the tokens up to a number; notes when it was given up."""

    async def deltas():
        try:
            for token in range(number):
                await asyncio.sleep(seconds)
                yield Delta((token,), (), "length" if token == number - 1 else None)
        except BaseException:
            ended.append(number)
            raise

    return deltas


def test_answers(loop):
    """Several at once, as many as have a place; what goes wrong is the reader's to hear."""
    assert [loop.begin(counting(number)).result().token_ids for number in (1, 3)] == [(0,), (0, 1, 2)]

    async def broken():
        yield Delta((1,))
        raise ValueError("no memory")

    async def silent():
        yield Delta((1,))

    with pytest.raises(ValueError, match="no memory"):
        loop.begin(broken).result()
    with pytest.raises(TunesmithError, match="without saying why"):
        loop.begin(silent).result()
    begun = [loop.begin(counting(20, 0.005)) for _ in range(5)]
    most = 0
    while not all(answer.ended for answer in begun):
        most = max(most, loop.running)
        time.sleep(0.002)
    assert most == 2
    loop.settle()
    assert loop.running == 0


def test_an_answer_that_is_cancelled_is_given_up(loop):
    """Also one that waits for its place, for which nothing was begun."""
    ended: list[int] = []
    running = [loop.begin(counting(1000, 0.01, ended)) for _ in range(2)]
    waiting = loop.begin(counting(7, 0.01, ended))
    next(iter(running[0]))
    waiting.cancel()
    running[0].cancel()
    assert loop.begin(counting(2)).result().token_ids == (0, 1), "its place is free"
    assert ended == [1000]
    running[1].cancel()
    loop.settle()


def test_the_end():
    """Closing ends the thread; what is asked behind it is refused, and who waits is told."""
    before = threading.active_count()
    loop, done = TaskLoop(), []

    async def last():
        done.append("closed")

    answer = loop.begin(counting(1000, 0.01, done))
    next(iter(answer))
    waiting = threading.Timer(0.05, loop.close, [last])
    waiting.start()
    with pytest.raises(TunesmithError, match="was closed"):
        loop.call(asyncio.sleep(10))
    waiting.join()
    assert (done, answer.result().finish_reason) == ([1000, "closed"], "cancelled")
    for ask in (lambda: loop.begin(counting(1)), lambda: loop.call(asyncio.sleep(0))):
        with pytest.raises(TunesmithError, match="is closed"):
            ask()
    loop.close()
    assert threading.active_count() == before


def test_a_schema_is_told_from_other_grammars():
    assert schema_of('start: %json {"type": "object", "x-guidance": {"a": 1}}\n') == {"type": "object"}
    assert schema_of('start: %json {"type": "object"} "."') is None
    assert schema_of("start: /a+/") is None
