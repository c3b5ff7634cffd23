"""How large a request may be, how long it may take to arrive, and how many there may be."""

import asyncio
import json
import time

import pytest
from tunesmith_command_api.limits import Admission, Bodies, Places, brackets_of, depth_of
from tunesmith_library_testing.asgi import ask, heard


def bodies(**limits):
    return Bodies(heard, **{"most": 100, "depth": 4, "seconds": 5.0, **limits})


def test_a_body_arrives_whole():
    reply = ask(bodies(), method="POST", body=[b'{"a"', b": [1]", b"}"])
    assert reply.status == 200 and reply.body == b'{"a": [1]}'


def test_a_body_that_says_it_is_too_large_is_not_read():
    async def never():
        raise AssertionError("it was read")

    app = bodies()
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/x", "headers": [(b"content-length", b"101")]}
    asyncio.run(app(scope, never, send))
    assert sent[0]["status"] == 413


def test_a_body_that_does_not_say_so_is_read_as_far_as_shows_it():
    parts = [b"x" * 60] * 50
    reply = ask(bodies(), method="POST", body=parts)
    assert reply.status == 413 and reply.json["error"]["code"] == "body_too_large"


def test_exactly_as_large_as_it_may_be():
    assert ask(bodies(), method="POST", body=[b"x" * 100]).status == 200
    assert ask(bodies(), method="POST", body=[b"x" * 101]).status == 413


def test_a_body_that_does_not_come():
    class Slow:
        async def __call__(self):
            await asyncio.sleep(60)

    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/x", "headers": []}
    asyncio.run(bodies(seconds=0.05)(scope, Slow(), send))
    assert sent[0]["status"] == 408


def test_a_client_that_hangs_up_within_its_body_gets_no_answer_and_no_route():
    async def gone():
        return {"type": "http.disconnect"}

    async def fail(*_):
        raise AssertionError("went on")

    scope = {"type": "http", "method": "POST", "path": "/v1/x", "headers": []}
    asyncio.run(Bodies(fail, most=9, depth=9, seconds=5)(scope, gone, fail))


@pytest.mark.parametrize(
    ("value", "depth"),
    [
        (1, 0),
        ("[[[[", 0),
        ([], 1),
        ({"a": ["]", {"b\\": '"{[', "c": [1, [2]]}]}, 5),
        ([[1], [[2]]], 3),
    ],
)
def test_depth_of_json(value, depth):
    assert depth_of(brackets_of(json.dumps(value).encode())) == depth


def test_what_is_no_json_does_no_harm():
    assert brackets_of(b'["never ends [[[') == b"["
    assert brackets_of(b'{"ends in a backslash\\') == b"{"
    assert brackets_of(b"\xff\xfe\x00[") == b"["
    assert depth_of(b"]]]]}}") == 0
    assert depth_of(b"[" * 100_000) == 100_000


@pytest.mark.parametrize("part", [b'\\"', b'"', b"\\", b"[", b'["', b'"\\', b"{}", b'""'])
def test_no_body_takes_long(part):
    """Twice as much takes about twice as long, whatever it is."""
    started = time.perf_counter()
    ask(bodies(most=10_000_000), method="POST", body=[b'"' + part * (1_500_000 // len(part))])
    assert time.perf_counter() - started < 3


@pytest.mark.parametrize("value", [b"[],", b'"",'])
def test_too_many_values(value):
    reply = ask(bodies(most=10_000_000), method="POST", body=[b"[" + value * 1_100_000 + b"1]"])
    assert reply.status == 400 and reply.json["error"]["code"] == "too_many_values"


def test_nested_too_deep():
    assert ask(bodies(), method="POST", body=[b"[[[[1]]]]"]).status == 200
    reply = ask(bodies(), method="POST", body=[b"[[[[[1]]]]]"])
    assert reply.status == 400 and reply.json["error"]["code"] == "nested_too_deep"


def test_places():
    """Two have a place, a third is told when to come again, and gets one when another has gone."""
    now = [0.0]
    places = Places(2, clock=lambda: now[0])
    seen = []

    async def app(scope, receive, send):
        seen.append(places.open)
        if len(seen) < 3:
            now[0] += 8.0
            await _asked(admission, seen)
        await heard(scope, receive, send)

    async def _asked(admission, seen):
        sent = []

        async def send(message):
            sent.append(message)

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        await admission({"type": "http", "method": "POST", "path": "/v1/x", "headers": []}, receive, send)
        answers.append((sent[0]["status"], dict(sent[0]["headers"]).get(b"retry-after")))

    answers = []
    admission = Admission(app, places=places)
    asyncio.run(_asked(admission, seen))
    assert [status for status, _ in answers] == [429, 200, 200]
    assert seen == [1, 2] and places.open == 0
    assert places.retry_after() == 12  # the mean of 8 s and 16 s, and nobody before
    places.open = 3
    assert places.retry_after() == 4


def test_a_place_is_given_back_by_a_request_that_fails():
    places = Places(1)

    async def fails(*_):
        raise ValueError

    with pytest.raises(ValueError):
        ask(Admission(fails, places=places), "/v1/x", method="POST")
    assert places.open == 0 and not places.full()


def test_the_engine_has_a_queue_too():
    waiting = [5]
    admission = Admission(heard, places=Places(5, lambda: waiting[0]))
    assert ask(admission, "/v1/x", method="POST").status == 429
    assert ask(admission, "/health").status == 200
    waiting[0] = 4
    assert ask(admission, "/v1/x", method="POST").status == 200


def test_a_server_that_ends_takes_no_more():
    places = Places(5)
    places.draining = True
    reply = ask(Admission(heard, places=places), "/v1/messages", method="POST")
    assert reply.status == 503 and reply.json["error"]["type"] == "overloaded_error"
    assert ask(Admission(heard, places=places), "/metrics").status == 200
