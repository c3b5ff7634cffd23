"""Answers that are read while they are given, and requests that no engine can answer."""

from __future__ import annotations

import asyncio
import math
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from tunesmith import TunesmithError
from tunesmith.types import Delta, EngineStats, LogProb, Request, Sampling
from tunesmith_library_engine import Ledger, StreamedAnswer, check_request, check_sampling, check_vocabulary, joined

SAID = [Delta((1,), (LogProb(-0.5),)), Delta((2, 3), (LogProb(-1.0), LogProb(-2.0))), Delta((), finish_reason="length")]
WHOLE = Delta((1, 2, 3), (LogProb(-0.5), LogProb(-1.0), LogProb(-2.0)), "length")


def written(*deltas: Delta) -> StreamedAnswer:
    answer = StreamedAnswer()
    for delta in deltas:
        answer.put(delta)
    return answer


def test_every_reader_sees_everything() -> None:
    answer = written(*SAID[:1])
    heard: list[Any] = []
    answer.listen(heard.append)
    reading = iter(answer)
    assert next(reading) == SAID[0]
    for delta in SAID[1:]:
        answer.put(delta)
    assert [SAID[0], *reading] == list(answer) == heard == SAID
    assert answer.result() == joined(SAID) == WHOLE


def test_readers_wait_for_what_comes() -> None:
    answer = StreamedAnswer()
    threading.Timer(0.05, lambda: [answer.put(delta) for delta in SAID]).start()
    assert answer.result() == WHOLE


def test_in_an_event_loop() -> None:
    async def read(answer: StreamedAnswer) -> None:
        deltas, whole, two = await asyncio.gather(listed(answer), whole_of(answer), whole_of(answer))
        assert deltas == SAID and whole == two == WHOLE
        with pytest.raises(ZeroDivisionError):
            await failed

    async def listed(answer: StreamedAnswer) -> list[Delta]:
        return [delta async for delta in answer]

    async def whole_of(answer: StreamedAnswer) -> Delta:
        return await answer

    answer, failed = StreamedAnswer(), StreamedAnswer()
    failed.fail(ZeroDivisionError())
    threading.Timer(0.05, lambda: [answer.put(delta) for delta in SAID]).start()
    asyncio.run(read(answer))


def test_a_reader_whose_loop_is_gone_hurts_nobody() -> None:
    answer = written(SAID[0])

    async def begin() -> None:
        async for _ in answer:
            return

    asyncio.run(begin())
    for delta in SAID[1:]:
        answer.put(delta)
    assert answer.result() == WHOLE


def test_cancelled() -> None:
    told: list[str] = []
    answer = StreamedAnswer(lambda: told.append("cancel"))
    answer.put(SAID[0])
    answer.cancel()
    answer.cancel()
    answer.put(SAID[1])
    answer.fail(ZeroDivisionError())
    assert answer.ended and told == ["cancel"]
    assert list(answer) == [SAID[0], Delta((), finish_reason="cancelled")]


def test_what_has_ended_is_not_cancelled() -> None:
    answer = written(*SAID)
    answer.cancel()
    assert answer.result().finish_reason == "length"


def test_a_listener_may_cancel() -> None:
    answer = StreamedAnswer()
    heard: list[Any] = []

    def once(item: Any) -> None:
        heard.append(item)
        answer.cancel()

    others: list[Any] = []
    answer.listen(once)
    answer.listen(others.append)
    answer.put(SAID[0])
    assert heard == others == [SAID[0], Delta((), finish_reason="cancelled")], "all in the same order"


def test_a_listener_that_fails_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    answer = StreamedAnswer()
    heard: list[Any] = []

    def fails(item: Any) -> None:
        heard.append(item)
        raise ZeroDivisionError("my mistake")

    answer.listen(fails)
    others: list[Any] = []
    answer.listen(others.append)
    for delta in SAID:
        answer.put(delta)
    assert others == SAID and heard == SAID[:1]
    assert "my mistake" in caplog.text


def test_a_failure_comes_behind_what_was_said() -> None:
    answer = written(SAID[0])
    answer.fail(ZeroDivisionError("so"))
    reading = iter(answer)
    assert next(reading) == SAID[0]
    with pytest.raises(ZeroDivisionError, match="so"):
        next(reading)
    with pytest.raises(ZeroDivisionError):
        answer.result()


def test_many_threads_write_and_read() -> None:
    answers = [StreamedAnswer() for _ in range(20)]
    results: list[Delta] = []
    readers = [threading.Thread(target=lambda a=answer: results.append(a.result())) for answer in answers * 3]
    writers = [threading.Thread(target=lambda a=answer: [a.put(delta) for delta in SAID]) for answer in answers]
    for thread in (*readers, *writers):
        thread.start()
    for thread in (*readers, *writers):
        thread.join(10)
    assert results == [WHOLE] * 60


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request([]), "the prompt is empty"),
        (Request([1] * 8), "the prompt has 8 tokens; the model's context ends at 8"),
        (Request([1], Sampling(logit_bias={3: -1.0, 5: math.nan})), "logit_bias=nan of token 5"),
        (Request([1], Sampling(logit_bias={5: math.inf})), "logit_bias=inf of token 5"),
        (Request([1], log_probs=-1), "log_probs=-1 is no number of alternatives"),
        (Request([1], log_probs=1.5), "log_probs=1.5 is no number"),  # type: ignore[arg-type]
        (Request([1], log_probs=True), "log_probs=True is no number"),
        (Request([1], adapter="pirat"), "no adapter 'pirat'(.|\n)*did you mean pirate"),
    ],
)
def test_what_no_engine_answers(request_: Request, message: str) -> None:
    engine: Any = SimpleNamespace(context_length=8, adapters=("pirate", "poet"))
    with pytest.raises(TunesmithError, match=message):
        check_request(engine, request_)


def test_what_an_engine_answers() -> None:
    engine: Any = SimpleNamespace(context_length=8, adapters=("pirate",))
    check_request(engine, Request([1] * 7, Sampling(logit_bias={3: -math.inf}), adapter="pirate"))
    check_request(SimpleNamespace(context_length=None, adapters=()), Request([1] * 9, log_probs=0))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request([1, 7]), "the prompt has the token 7; the model has 7, from 0 on"),
        (Request([-1]), "the prompt has the token -1"),
        (Request([1], Sampling(logit_bias={9: 1.0})), "logit_bias has the token 9"),
        (Request([1], Sampling(logit_bias=dict.fromkeys(range(7), -math.inf))), "forbids all 7 tokens"),
    ],
)
def test_tokens_that_the_model_does_not_have(request_: Request, message: str) -> None:
    with pytest.raises(TunesmithError, match=message):
        check_vocabulary(request_, 7)
    check_vocabulary(Request([0, 6], Sampling(logit_bias=dict.fromkeys(range(6), -math.inf))), 7)


def test_settings_that_an_engine_does_not_have() -> None:
    check_sampling(Sampling(top_p=1.0, top_k=0, repetition_penalty=1.0, seed=1, temperature=0.3))
    check_sampling(Sampling(top_p=0.5), "top_p")
    with pytest.raises(TunesmithError, match="this engine has no top_p"):
        check_sampling(Sampling(top_p=0.5), "top_k")
    with pytest.raises(TunesmithError, match="this engine has no logit_bias"):
        check_sampling(Sampling(logit_bias={3: 1.0}))


def test_a_ledger_counts() -> None:
    ledger, answers = Ledger(), [StreamedAnswer() for _ in range(4)]
    for answer in answers:
        ledger.follow(Request([1, 2, 3]), answer)
    for delta in SAID:
        answers[0].put(delta)
    answers[1].put(SAID[0])
    answers[2].fail(ZeroDivisionError())
    assert ledger.stats(1, False) == EngineStats(1, 1, 2, 12, 4, False)
    ledger.cancel_all()
    assert ledger.stats(0, True) == EngineStats(0, 0, 4, 12, 4, True)
    assert answers[3].result().finish_reason == "cancelled" and answers[0].result() == WHOLE
