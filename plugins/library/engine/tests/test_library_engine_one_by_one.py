"""An engine that says no more than which tokens come: the rest is the library's."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence

import pytest
from tunesmith import TunesmithError
from tunesmith.types import LogProb, Request, Sampling
from tunesmith_library_engine.one_by_one import OneByOne


class Counting(OneByOne):
    """Counts up from the last token of the prompt, at a token's leave."""

    honours = ("top_k",)

    def __init__(self, context_length: int | None = 100) -> None:
        super().__init__(context_length, {50}, max_new_tokens=5)
        self.may = threading.Event()
        self.may.set()

    def tokens(self, request: Request) -> Iterator[tuple[int, LogProb | None]]:
        for token in itertools.count(request.prompt[-1] + 1):
            assert self.may.wait(10)
            if token == 13:
                raise ArithmeticError("unlucky")
            yield token, None if request.log_probs is None else LogProb(-token)

    def log_probs(self, sequence: Sequence[int], alternatives: int) -> tuple[LogProb, ...]:
        return tuple(LogProb(-token) for token in sequence[1:])


@pytest.mark.parametrize(
    ("request_", "tokens", "reason"),
    [
        (Request([1]), (2, 3, 4, 5, 6), "length"),
        (Request([1], Sampling(max_new_tokens=2, top_k=3)), (2, 3), "length"),
        (Request([48]), (49, 50), "stop"),
        (Request([1], Sampling(stop_token_ids=(3,))), (2, 3), "stop"),
        (Request([5] * 98), (6, 7), "length"),
    ],
)
def test_answers_end(request_: Request, tokens: tuple[int, ...], reason: str) -> None:
    engine = Counting()
    whole = engine.submit(request_).result()
    assert (whole.token_ids, whole.finish_reason, whole.log_probs) == (tokens, reason, ())
    engine.close()


def test_one_after_the_other_and_what_goes_wrong_is_one_requests() -> None:
    engine = Counting(None)
    engine.may.clear()
    asked = [Request([10]), Request([20], log_probs=0), Request([30]), Request([40])]
    answers = [engine.submit(request) for request in asked]
    answers[2].cancel()
    assert engine.stats().waiting >= 2
    engine.may.set()
    with pytest.raises(ArithmeticError, match="unlucky"):
        answers[0].result()
    told = answers[1].result()
    assert told.token_ids == (21, 22, 23, 24, 25) and [of.value for of in told.log_probs] == [-21, -22, -23, -24, -25]
    assert answers[2].result().token_ids == () and answers[3].result().token_ids == (41, 42, 43, 44, 45)
    assert engine.score([[7, 8, 9]]) == [(LogProb(-8), LogProb(-9))]
    engine.close()


def test_what_it_refuses() -> None:
    engine = Counting()
    for request in (Request([]), Request([1] * 100), Request([1], adapter="x"), Request([1], inputs={"pixels": 1})):
        with pytest.raises(TunesmithError):
            engine.submit(request)
    with pytest.raises(TunesmithError, match="has no min_p"):
        engine.submit(Request([1], Sampling(min_p=0.5)))
    engine.load_weights(())
    with pytest.raises(TunesmithError, match="does not take head"):
        engine.load_weights([("head", None)])
    with pytest.raises(TunesmithError, match="no vectors"):
        engine.embed([[1]])
    engine.sleep()
    assert engine.stats().asleep
    with pytest.raises(TunesmithError, match="sleeps"):
        engine.submit(Request([1]))
    engine.wake()
    assert engine.submit(Request([1])).result().token_ids and not engine.stats().asleep
    engine.close()
    for ask in (lambda: engine.submit(Request([1])), engine.wake, lambda: engine.load_weights(())):
        with pytest.raises(TunesmithError, match="closed"):
            ask()
