"""Who may ask the page's server, from which pages, and how much."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect
from tunesmith import TunesmithError
from tunesmith_command_webui import Webui
from tunesmith_command_webui.app import make_app
from tunesmith_command_webui.options import Options
from tunesmith_command_webui.security import check_password
from tunesmith_command_webui.sessions import LIFETIME, Access
from tunesmith_library_studio import Studio, Workspace
from tunesmith_library_testing import CommandSuite

PASSWORD = "ein langes Passwort"
OURS = {"X-Tunesmith": "1"}


class TestWebuiCommand(CommandSuite):
    plugin = Webui


def client(folder: Path, url: str = "http://127.0.0.1:7860", **options: object) -> TestClient:
    app = make_app(Studio(Workspace(Path("runs"), folder)), Options(**options))  # type: ignore[arg-type]
    return TestClient(app, base_url=url, raise_server_exceptions=False)


@pytest.fixture
def open_to_all(tmp_path: Path) -> TestClient:
    return client(tmp_path)


@pytest.fixture
def locked(tmp_path: Path) -> TestClient:
    return client(tmp_path, password=PASSWORD)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "example.org"])
def test_no_other_address_without_a_password(host: str) -> None:
    with pytest.raises(TunesmithError, match=r"no password[\s\S]*TUNESMITH_WEBUI_PASSWORD[\s\S]*ssh -L"):
        check_password(host, None)
    with pytest.raises(TunesmithError, match="fewer than 8 characters") as raised:
        check_password(host, "short")
    assert "short" not in str(raised.value)
    check_password(host, PASSWORD)


def test_this_machine_needs_none_but_an_empty_one_is_a_mistake() -> None:
    check_password("127.0.0.1", None)
    check_password("localhost", "short")
    with pytest.raises(TunesmithError, match="empty"):
        check_password("127.0.0.1", "")


def test_it_is_refused_before_anything_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uvicorn.Server.run", lambda *_: pytest.fail("it listens"))
    result = CliRunner().invoke(Webui().command(), ["--host", "0.0.0.0", "--port", "0", "--no-open"])
    assert isinstance(result.exception, TunesmithError)


def test_a_password_stays_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    assert PASSWORD not in repr(Options(password=PASSWORD))
    monkeypatch.setenv("TUNESMITH_WEBUI_PASSWORD", PASSWORD)
    assert PASSWORD not in CliRunner().invoke(Webui().command(), ["--help"]).output


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:7860", 200), ("[::1]:7860", 200), ("127.0.0.2", 200), ("evil.example", 403), ("a b", 403), ("", 403)],
)
def test_it_answers_only_to_names_of_its_own(open_to_all: TestClient, host: str, status: int) -> None:
    for path in ("/", "/api/session"):
        assert open_to_all.get(path, headers={"host": host}).status_code == status


def test_a_proxys_name_can_be_allowed(tmp_path: Path) -> None:
    behind = client(tmp_path, hosts=("proxy.example",))
    assert behind.get("/api/session", headers={"host": "proxy.example"}).status_code == 200
    asked = {"host": "127.0.0.1:7860", "origin": "https://proxy.example", **OURS}
    assert behind.delete("/api/session", headers=asked).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_pages_of_other_sites_may_not_ask(open_to_all: TestClient, headers: dict[str, str]) -> None:
    assert open_to_all.get("/api/session", headers=headers).status_code == 403
    assert open_to_all.delete("/api/session", headers={**headers, **OURS}).status_code == 403
    assert open_to_all.get("/", headers=headers).status_code == 200  # a link that leads to the page
    with (
        pytest.raises(WebSocketDisconnect),
        open_to_all.websocket_connect("ws://127.0.0.1:7860/api/socket", headers=headers),
    ):
        pass


def test_its_own_page_may(open_to_all: TestClient) -> None:
    headers = {"origin": "http://127.0.0.1:7860", "sec-fetch-site": "same-origin", **OURS}
    assert open_to_all.delete("/api/session", headers=headers).status_code == 200


def test_what_changes_needs_a_header_that_foreign_pages_cannot_send(open_to_all: TestClient) -> None:
    refused = open_to_all.post("/api/session", json={"password": ""})
    assert refused.status_code == 403 and "X-Tunesmith" in refused.json()["error"]["message"]
    assert open_to_all.post("/api/session", json={"password": ""}, headers=OURS).status_code == 200
    assert open_to_all.delete("/api/session", headers={"authorization": "Bearer any"}).status_code == 200


def test_without_the_password_only_the_files_of_the_page_are_told(locked: TestClient) -> None:
    assert locked.get("/").status_code == locked.get("/main.js").status_code == 200
    assert locked.get("/api/session").json() == {"needed": True, "signed_in": False, "version": None}
    for path in ("/api/openapi.json", "/api/events?topics=jobs", "/api/nothing"):
        refused = locked.get(path)
        assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"
    with pytest.raises(WebSocketDisconnect), locked.websocket_connect("ws://127.0.0.1:7860/api/socket"):
        pass


def test_signing_in_and_out(locked: TestClient) -> None:
    wrong = locked.post("/api/session", json={"password": "wrong"}, headers=OURS)
    assert wrong.status_code == 401 and wrong.json()["error"]["message"] == "this is not the password"
    right = locked.post("/api/session", json={"password": PASSWORD}, headers=OURS)
    assert right.json()["signed_in"]
    cookie = right.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Secure" not in cookie
    assert PASSWORD not in cookie and locked.get("/api/openapi.json").status_code == 200
    with locked.websocket_connect("ws://127.0.0.1:7860/api/socket") as socket:
        socket.send_json({"topics": ["nothing"]})
        assert "nothing" in socket.receive_json()["data"]
    kept = dict(locked.cookies)
    assert not locked.delete("/api/session", headers=OURS).json()["signed_in"]
    locked.cookies.update(kept)  # who has a copy of the cookie is out too
    assert locked.get("/api/openapi.json").status_code == 401


def test_the_cookie_stays_on_https_where_the_page_came_so(locked: TestClient) -> None:
    headers = {**OURS, "x-forwarded-proto": "https"}
    signed_in = locked.post("/api/session", json={"password": PASSWORD}, headers=headers)
    assert "Secure" in signed_in.headers["set-cookie"]


def test_programs_send_the_password(locked: TestClient) -> None:
    asked = [locked.get("/api/openapi.json", headers={"authorization": f"Bearer {word}"}) for word in (PASSWORD, "x")]
    assert [reply.status_code for reply in asked] == [200, 401]
    assert PASSWORD not in asked[1].text


def test_who_guesses_must_wait(locked: TestClient) -> None:
    guess = {"authorization": "Bearer guess"}
    assert [locked.get("/api/openapi.json", headers=guess).status_code for _ in range(11)] == [401] * 10 + [429]
    waiting = locked.post("/api/session", json={"password": PASSWORD}, headers=OURS)
    assert waiting.status_code == 429 and 0 < int(waiting.headers["retry-after"]) <= 60


def test_waiting_ends_and_others_need_not() -> None:
    now = 1000.0
    access = Access(PASSWORD, lambda: now)
    for _ in range(10):
        assert not access.is_right("guess", "a")
        now += 1
    assert access.wait("a") == 50 and access.wait("b") == 0
    now += 50.5
    assert access.wait("a") == 0
    for number in range(100):
        access.is_right("guess", f"address {number}")
    assert access.wait("b") > 0


def test_sessions_end() -> None:
    now = 0.0
    access = Access(PASSWORD, lambda: now)
    first = access.enter()
    now = LIFETIME - 1.0
    assert access.is_in(first)
    now += LIFETIME + 1
    assert not access.is_in(first) and not access.is_in("made up") and not access.is_in(None)
    tokens = [access.enter() for _ in range(1001)]
    assert not access.is_in(tokens[0]) and access.is_in(tokens[1]) and len(set(tokens)) == 1001


def test_a_body_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tunesmith_command_webui.security._BODY", 1000)
    limited = client(tmp_path)
    for path in ("/api/session", "/api/data/paste"):
        large = limited.post(path, json={"password": "x" * 2000}, headers=OURS)
        assert large.status_code == 413 and "1000 bytes" in large.json()["error"]["message"]

    def parts() -> object:
        for _ in range(20):
            yield b" " * 100

    headers = {**OURS, "content-type": "application/json"}
    assert limited.post("/api/session", content=parts(), headers=headers).status_code == 413  # type: ignore[arg-type]


def test_deep_json_is_a_mistake_of_who_asks(open_to_all: TestClient) -> None:
    headers = {**OURS, "content-type": "application/json"}
    assert open_to_all.post("/api/session", content="[" * 100_000, headers=headers).status_code in (400, 422)
    with open_to_all.websocket_connect("ws://127.0.0.1:7860/api/socket") as socket:
        socket.send_text("[" * 50_000)
        with pytest.raises(WebSocketDisconnect):
            socket.receive_json()


def test_browsers_are_told_to_load_nothing_from_elsewhere(open_to_all: TestClient) -> None:
    for path in ("/", "/style.css", "/api/session", "/nothing"):
        headers = open_to_all.get(path).headers
        policy = dict(rule.split(" ", 1) for rule in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert "unsafe" not in headers["content-security-policy"] and policy["frame-ancestors"] == "'none'"
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert headers.get("cache-control") == {"/api/session": "no-store", "/nothing": None}.get(path, "no-cache")


def test_files_are_asked_for_anew_and_sent_where_they_differ(tmp_path: Path) -> None:
    from starlette.applications import Starlette
    from tunesmith_command_webui.page_files import PageFiles

    (tmp_path / "a.js").write_text("1")
    app = Starlette()
    app.mount("/", PageFiles(tmp_path))
    files = TestClient(app)
    first = files.get("/a.js")
    assert first.headers["cache-control"] == "no-cache" and "last-modified" not in first.headers
    assert files.get("/a.js", headers={"if-none-match": first.headers["etag"]}).status_code == 304
    (tmp_path / "a.js").write_text("2")  # of the same size; another process sees the same time of an installed file
    app.routes.clear()
    app.mount("/", PageFiles(tmp_path))
    assert files.get("/a.js", headers={"if-none-match": first.headers["etag"]}).text == "2"
