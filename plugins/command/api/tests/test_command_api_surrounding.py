"""Clients that hang up, take nothing, or come too late; answers that take too long; what is counted and logged."""

import contextlib
import logging
import re
import socket
import time

import httpx2 as httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tunesmith.types import Delta

CHAT = "/v1/chat/completions"


def say(tokens, reason="stop"):
    """An engine that says so many tokens at once."""

    def on_submit(request, answer):
        answer.put(Delta(tuple(range(30, 30 + tokens - 1))))
        answer.put(Delta((40,), finish_reason=reason))

    return on_submit


def post(port, body, headers=""):
    """Send a request over a socket of one's own, and leave it open."""
    connection = socket.create_connection(("127.0.0.1", port))
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}"
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    return connection


BODY = '{"messages": [{"role": "user", "content": "hi"}]}'
STREAM = '{"stream": true, "messages": [{"role": "user", "content": "hi"}]}'


def values(served):
    """The counters of a server by name and labels."""
    families = text_string_to_metric_families(served.client.get("/metrics").text)
    return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}


def test_health_metrics_ids_and_the_log(serving, caplog):
    served = serving()
    served.engine.on_submit = say(5)
    assert served.client.get("/health").json() == {"status": "ready"}
    with caplog.at_level(logging.INFO, "tunesmith.api"):
        reply = served.client.post(CHAT, json=served.chat(), headers={"x-request-id": "mine-1"})
    assert reply.status_code == 200 and reply.headers["x-request-id"] == "mine-1"
    own = [served.client.get("/nowhere/secret?key=x", headers={"x-request-id": bad}) for bad in ("a b", "x" * 129)]
    ids = [each.headers["x-request-id"] for each in own]
    assert all(re.fullmatch("req_[0-9a-f]{32}", each) for each in ids) and ids[0] != ids[1]
    (line,) = [record.getMessage() for record in caplog.records if "mine-1" in record.getMessage()]
    assert re.fullmatch(rf"POST {CHAT} 200 \d+\.\d+ s mine-1", line)
    found = values(served)
    prompt = len(served.engine.requests[0].prompt)
    assert found["tunesmith_requests_total", CHAT, "200"] == 1
    assert found["tunesmith_requests_total", "other", "404"] == 2
    assert found["tunesmith_prompt_tokens_total",] == prompt
    assert found["tunesmith_generated_tokens_total",] == 5
    assert found["tunesmith_cached_prompt_tokens_total",] == 7
    assert found["tunesmith_time_to_first_token_seconds_count",] == 1
    assert found["tunesmith_time_per_output_token_seconds_count",] == 1
    assert found["tunesmith_requests_open",] == 0 and found["tunesmith_answers_running",] == 0


def test_an_answer_that_takes_too_long_is_given_as_far_as_it_is(serving, events):
    """It has not ended, so its reason is the one that clients know for that: its length."""
    served = serving(timeout=0.3)
    served.engine.on_submit = lambda request, answer: answer.put(Delta((30, 31)))
    started = time.monotonic()
    reply = served.client.post(CHAT, json=served.chat()).json()
    assert reply["choices"][0]["finish_reason"] == "length" and reply["usage"]["completion_tokens"] == 2
    assert reply["choices"][0]["message"]["content"]
    streamed = events(served.client.post(CHAT, json=served.chat(stream=True)))
    assert streamed[-1]["choices"][0]["finish_reason"] == "length"
    assert 0.6 <= time.monotonic() - started < 5
    assert all(answer.ended for answer in served.engine.answers)


@pytest.mark.parametrize("body", [BODY, STREAM])
def test_a_client_that_hangs_up_frees_its_place(serving, soon, body):
    served = serving()
    connection = post(served.port, body)
    soon(lambda: served.engine.answers and served.service.places.open == 1)
    served.engine.answers[0].put(Delta((30,)))
    connection.close()
    soon(lambda: served.engine.answers[0].ended and served.service.places.open == 0)
    assert values(served)["tunesmith_requests_total", CHAT, "499"] == 1


@pytest.mark.slow
def test_a_client_that_takes_nothing_is_cut_off(serving, soon):
    served = serving(client_timeout=0.3)
    connection = socket.create_connection(("127.0.0.1", served.port))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n".encode())
    connection.sendall(f"Content-Length: {len(STREAM)}\r\n\r\n{STREAM}".encode())
    soon(lambda: bool(served.engine.answers))
    (answer,) = served.engine.answers
    said = 0
    until = time.monotonic() + 15
    while not answer.ended and time.monotonic() < until:
        for _ in range(200):
            answer.put(Delta((30 + said % 9,)))
            said += 1
        time.sleep(0.01)
    assert answer.ended, "it still answers a client that takes nothing"
    soon(lambda: served.service.places.open == 0)
    connection.close()


def test_headers_that_do_not_come(serving):
    served = serving(client_timeout=0.3, keep_alive=0.3)
    for sent in (
        b"",
        b"GET /health HTTP/1.1\r\nHost: local",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /he",
    ):
        with socket.create_connection(("127.0.0.1", served.port)) as connection:
            connection.sendall(sent)
            connection.settimeout(10)
            started = time.monotonic()
            while connection.recv(4096):
                pass
            assert time.monotonic() - started < 5


def test_a_body_that_does_not_come(serving):
    served = serving(client_timeout=0.3)
    with socket.create_connection(("127.0.0.1", served.port)) as connection:
        connection.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{{".encode())
        connection.settimeout(10)
        assert b" 408 " in connection.recv(4096)


def test_too_much_is_refused(serving):
    served = serving(max_body_bytes=1000, max_nesting=10, max_messages=3, max_tokens_per_request=50, max_queue=2)
    long, deep = served.chat(user="x" * 5_000_000), served.chat(metadata={"a": [[[[[[[[[[1]]]]]]]]]]})
    many = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}] * 2}
    for body, status, code in (
        (long, 413, "body_too_large"),
        (deep, 400, "nested_too_deep"),
        (many, 400, "too_many_messages"),
        (served.chat(max_tokens=51), 400, "too_many_tokens"),
    ):
        reply = served.client.post(CHAT, json=body)
        assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    assert not served.engine.requests


def test_a_body_without_end_is_heard_for_some_time_only(serving):
    served = serving(max_body_bytes=1000, client_timeout=0.3)
    with socket.create_connection(("127.0.0.1", served.port)) as connection:
        connection.sendall(f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000000\r\n\r\n".encode())
        assert b" 413 " in connection.recv(4096)
        until = time.monotonic() + 10
        with pytest.raises(OSError):
            while time.monotonic() < until:
                connection.sendall(b"x" * 10_000)
                time.sleep(0.02)


def test_more_than_there_are_places_for(serving, soon):
    served = serving(max_queue=2)
    connections = [post(served.port, BODY) for _ in range(2)]
    soon(lambda: len(served.engine.answers) == 2)
    reply = served.client.post(CHAT, json=served.chat())
    assert reply.status_code == 429 and int(reply.headers["retry-after"]) >= 1
    assert served.client.get("/health").status_code == 200
    for connection in connections:
        connection.close()
    soon(lambda: served.service.places.open == 0)
    served.engine.on_submit = say(2)
    assert served.client.post(CHAT, json=served.chat()).status_code == 200


@pytest.mark.parametrize("body", [b"{", b"", b'{"messages": [', b"\xff\xfe", b'{"a": 1} x'])
def test_a_body_that_is_no_json_says_where(serving, body):
    reply = serving().client.post(CHAT, content=body, headers={"content-type": "application/json"})
    error = reply.json()["error"]
    assert reply.status_code == 400 and error["param"] is None and "the body" in error["message"], error


def test_a_failure_is_that_of_one_request(serving, soon, caplog):
    """An engine that fails, and one that cannot even be asked: the request hears of it, no other does."""
    served = serving()
    connection = post(served.port, BODY)
    soon(lambda: bool(served.engine.answers))
    served.engine.on_submit = lambda request, answer: answer.fail(RuntimeError("secret of the inside"))
    failed = served.client.post(CHAT, json=served.chat())
    assert failed.status_code == 500 and "secret" not in failed.text
    assert set(failed.json()["error"]) == {"message", "type", "param", "code"} and failed.headers["x-request-id"]
    streamed = served.client.post(CHAT, json=served.chat(stream=True))
    assert "secret" not in streamed.text and "error" in streamed.text

    def broken(request, answer):
        raise ZeroDivisionError("secret of the inside")

    served.engine.on_submit = broken
    assert served.client.post(CHAT, json=served.chat()).status_code == 500
    assert "secret of the inside" in caplog.text  # which is for the log
    say(3)(None, served.engine.answers[0])
    assert b"200 OK" in connection.recv(9999)
    connection.close()


def test_keys_hosts_and_pages(serving):
    served = serving(api_key="sk-1", allow_origin=("https://page.example",))
    served.engine.on_submit = say(2)
    page = {"origin": "https://page.example", "access-control-request-method": "POST"}
    assert served.client.options(CHAT, headers=page).headers["access-control-allow-origin"] == "https://page.example"
    evil = served.client.options(CHAT, headers={**page, "origin": "https://evil.example"})
    assert "access-control-allow-origin" not in evil.headers
    assert served.client.post(CHAT, json=served.chat()).status_code == 401
    assert served.client.get("/metrics").status_code == 401 and served.client.get("/health").status_code == 200
    key = {"authorization": "Bearer sk-1"}
    good = served.client.post(CHAT, json=served.chat(), headers={**key, "origin": "https://page.example"})
    assert good.status_code == 200 and good.headers["access-control-allow-origin"] == "https://page.example"
    assert served.client.post(CHAT, json=served.chat(), headers={**key, "host": "evil.example"}).status_code == 403


def test_a_server_that_is_not_ready_says_so(soon):
    from tunesmith_command_api.loading import refusing_meanwhile

    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listening:
        url = "http://{}:{}".format(*listening.getsockname())
        with refusing_meanwhile(listening), socket.create_connection(listening.getsockname()) as silent:
            for reply in (httpx.get(f"{url}/health"), httpx.post(f"{url}{CHAT}", json={"messages": []})):
                assert reply.status_code == 503 and reply.headers["retry-after"]
                assert reply.json()["status"] == "loading" and reply.json()["error"]["code"] == "loading"
            silent.close()
        late = socket.create_connection(listening.getsockname())  # is left to the server itself
        accepted, _ = listening.accept()
        accepted.close()
        late.close()


def test_a_server_that_ends_lets_what_runs_end(serving, soon):
    served = serving(drain=20.0)
    connection = post(served.port, STREAM)
    soon(lambda: bool(served.engine.answers))
    idle = socket.create_connection(("127.0.0.1", served.port))
    served.server.drain("test")
    assert served.client.get("/health").status_code == 503
    refused = served.client.post(CHAT, json=served.chat())
    assert refused.status_code == 503 and refused.json()["error"]["code"] == "draining"
    assert served.thread.is_alive()
    say(3)(None, served.engine.answers[0])
    served.thread.join(10)
    assert not served.thread.is_alive()
    said = b""
    while more := connection.recv(9999):
        said += more
    assert b"[DONE]" in said and b'"finish_reason":"stop"' in said
    connection.close()
    idle.close()


@pytest.mark.parametrize("again", [False, True])
def test_what_does_not_end_is_cancelled(serving, soon, again):
    served = serving(drain=60.0 if again else 0.3)
    connection = post(served.port, STREAM)
    soon(lambda: bool(served.engine.answers))
    served.server.drain("test")
    if again:
        served.server.drain("test")
    served.thread.join(10)
    assert not served.thread.is_alive()
    soon(lambda: served.engine.answers[0].ended)
    connection.close()


@pytest.mark.parametrize("stream", [False, True])
def test_who_waits_when_the_time_is_over_is_told(serving, soon, caplog, stream):
    import threading

    served = serving(drain=0.3)
    replies = []
    body = served.chat(stream=stream)
    asking = threading.Thread(target=lambda: replies.append(served.client.post(CHAT, json=body)))
    asking.start()
    soon(lambda: bool(served.engine.answers))
    served.server.drain("test")
    asking.join(10)
    served.thread.join(10)
    (reply,) = replies
    assert reply.status_code == (200 if stream else 503)
    assert "it stops" in reply.text and '"code"' in reply.text
    assert not [record for record in caplog.records if record.exc_info], "nothing failed"
