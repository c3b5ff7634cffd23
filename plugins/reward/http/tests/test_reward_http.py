"""Against a real server of the standard library."""

import contextlib
import json
import logging
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from tunesmith import TunesmithError
from tunesmith.keys import Key
from tunesmith.validate import structured
from tunesmith_library_testing import RewardSuite
from tunesmith_library_testing.parts import StubPlan
from tunesmith_reward_http import Http


class Service(BaseHTTPRequestHandler):
    """Scores an answer by its length over 100; says what `server.replies` holds before that."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.heard.append((body, dict(self.headers)))
        status, answer = self.server.replies.pop(0) if self.server.replies else (200, None)
        if answer is None:
            answer = json.dumps({"scores": [len(text) / 100 for text in body["completions"]]})
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
        self.end_headers()
        self.wfile.write(answer.encode(errors="surrogateescape"))

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture(scope="module")
def running() -> Iterator[Any]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def service(running, monkeypatch) -> Any:
    running.heard, running.replies = [], []
    monkeypatch.setattr("tunesmith_reward_http.time.sleep", lambda seconds: None)
    return running


def url_of(server: Any) -> str:
    return f"http://127.0.0.1:{server.server_port}/score"


class TestHttp(RewardSuite):
    plugin = Http
    options = {"url": "http://127.0.0.1:1/score"}
    better = "a long answer"
    worse = "short"

    @pytest.fixture(autouse=True)
    def _address(self, service, monkeypatch):
        monkeypatch.setattr(type(self), "options", {"url": url_of(service)})


def ask(server: Any, completions: list[str], **options: Any) -> list[float]:
    prompts = [[{"role": "user", "content": "问"}]] * len(completions)
    rows = [{"answer": index} for index in range(len(completions))]
    return Http(url=url_of(server), **options).score(prompts=prompts, completions=completions, rows=rows)


def test_what_is_sent(service, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "Bearer hush")
    assert ask(service, ["ab", "c", "d"], batch_size=2, headers={"Authorization": "MY_TOKEN"}) == [0.02, 0.01, 0.01]
    (first, headers), (second, _) = service.heard
    assert headers["Authorization"] == "Bearer hush"
    assert first["completions"] == ["ab", "c"] and second["completions"] == ["d"]
    assert first["prompts"][0] == [{"role": "user", "content": "问"}] and second["rows"] == [{"answer": 2}]


def test_a_busy_service_is_asked_again(service, caplog, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "Bearer hush")
    service.replies = [(503, "busy"), (429, "slower")]
    with caplog.at_level(logging.DEBUG, logger="tunesmith"):
        assert ask(service, ["ab"], headers={"Authorization": "MY_TOKEN"}) == [0.02]
    assert len(service.heard) == 3 and "status 503" in caplog.text and "hush" not in caplog.text


@pytest.mark.parametrize(
    ("replies", "message", "attempts"),
    [
        ([(403, "no")], "status 403", 1),
        ([(302, "")], "status 302", 1),
        ([(500, "")] * 3, "status 500", 3),
        ([(200, "<html>")], "expected: {", 1),
        ([(200, '{"scores": [1, 2]}')], "2 scores for 1", 1),
        ([(200, '{"scores": [NaN]}')], "no finite number", 1),
    ],
)
def test_what_goes_wrong(service, replies, message, attempts):
    service.replies = list(replies)
    with pytest.raises(TunesmithError, match=message) as raised:
        ask(service, ["ab"], retries=2)
    assert len(service.heard) == attempts
    assert url_of(service) in str(raised.value)


def test_nobody_there():
    reward = Http(url="http://someone:secret@127.0.0.1:1/score?key=hidden", retries=1, timeout=5)
    with pytest.raises(TunesmithError, match="gave no scores") as raised:
        reward.score(prompts=[[]], completions=["a"], rows=[{}])
    assert "secret" not in str(raised.value) and "hidden" not in str(raised.value)


def test_user_and_password_of_an_address_are_basic_authorization(service):
    """The example of RFC 7617, section 2."""
    url = url_of(service).replace("http://", "http://Aladdin:open%20sesame@")
    assert Http(url=url).check(plan=StubPlan({})) == []
    assert Http(url=url).score(prompts=[[]], completions=["ab"], rows=[{}]) == [0.02]
    assert service.heard[0][1]["Authorization"] == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert "@" not in service.heard[0][1]["Host"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://ghp_token@localhost/score", "without a password"),  # which a record would keep
        ("http://ghp_token:@localhost/score", "without a password"),
        ("http://:hush@localhost/score", "without a password"),
        ("http://u:hu@sh@localhost/score", "%40"),
        ("http://u:hu/sh@localhost/score", "no address"),
        ("http://localhost:port/score", "no address"),
        ("http://localhost/a score", "no address"),
    ],
)
def test_addresses_that_say_half_of_who_asks_are_refused(url, said):
    (problem,) = Http(url=url).check(plan=StubPlan({}))
    assert said in f"{problem.message} {problem.advice}" and "hu" not in f"{problem.message} {problem.advice}"


def test_two_authorizations_are_one_too_many(monkeypatch):
    monkeypatch.setenv("MINE", "Bearer x")
    (problem,) = Http(url="http://u:p@localhost/", headers={"authorization": "MINE"}).check(plan=StubPlan({}))
    assert "Authorization" in problem.message


def test_what_is_wrong_beforehand(monkeypatch):
    monkeypatch.delenv("NOT_SET", raising=False)
    reward = Http(url="localhost:8080", headers={"Authorization": "NOT_SET"})
    keys = {problem.key for problem in reward.check(plan=StubPlan({}))}
    assert keys == {"reward.http.url", "reward.http.headers.Authorization"}


def test_values_out_of_range_are_refused():
    values = {"url": "http://localhost", "timeout": 0.0, "retries": -1, "batch_size": 0}
    _, problems = structured(Http, values, Key("reward", "http"), "reward=http")
    assert [str(problem.key) for problem in problems] == [f"reward.http.{name}" for name in values if name != "url"]


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ('{"scores": [true]}', "True for completion 0"),
        ('{"scores": ["1.0"]}', "'1.0' for completion 0"),
        ('{"scores": ["\\ud800"]}', r"'\\ud800' for completion 0"),
        ('{"scores": [null]}', "None for completion 0"),
        ('{"scores": [NaN]}', "nan for completion 0"),
        ('{"scores": [1e999]}', "inf for completion 0"),
        (f'{{"scores": [{10**400}]}}', "answered"),
        (f'{{"scores": [{"9" * 5000}]}}', "answered"),
        ('{"scores": {"0": 1.0}}', "answered"),
        ("[" * 200_000, "answered"),
        ('{"scores":' + "[" * 200_000 + "]" * 200_000 + "}", "answered"),
        ("\udcff", "answered"),
    ],
)
def test_scores_are_finite_numbers(service, answer, found):
    service.replies = [(200, answer)]
    with pytest.raises(TunesmithError, match=rf"{found}.*(\n.*)*expected: "):
        ask(service, ["a"])


class Dripping(BaseHTTPRequestHandler):
    """Sends a byte now and then, for ever: of the answer, or of its headers."""

    def do_POST(self) -> None:
        if self.path == "/body":
            self.send_response(200)
            self.end_headers()
        with contextlib.suppress(OSError):
            while not self.server.stopped.wait(0.02):
                self.wfile.write(b"a")

    def log_message(self, *_: Any) -> None: ...


@pytest.mark.parametrize("path", ["body", "head"])
def test_a_dripping_service_has_a_time(path):
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Dripping)
    server.stopped = threading.Event()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    began = time.monotonic()
    try:
        plugin = Http(url=f"http://127.0.0.1:{server.server_port}/{path}", timeout=0.3, retries=0)
        with pytest.raises(TunesmithError, match=r"no whole answer within|timed out"):
            plugin.score(prompts=[[]], completions=["a"], rows=[{}])
    finally:
        server.stopped.set()
        server.shutdown()
        server.server_close()
    assert time.monotonic() - began < 20  # the service never ends


def test_an_answer_has_a_size(service, monkeypatch):
    monkeypatch.setattr("tunesmith_reward_http._LARGEST", 1 << 10)
    service.replies = [(200, '{"scores": [' + " " * 2000 + "1.0]}")] * 5
    with pytest.raises(TunesmithError, match="more than 0 MiB"):
        ask(service, ["a"])
    assert len(service.heard) == 1, "another attempt would not help"


def test_a_header_that_cannot_be_sent_is_not_shown(service, monkeypatch):
    monkeypatch.setenv("MY_SECRET", "hush\r\nhush")
    with pytest.raises(TunesmithError, match="cannot be sent") as raised:
        ask(service, ["a"], headers={"X-Secret": "MY_SECRET"})
    assert "hush" not in str(raised.value) and service.heard == []
