"""Who may ask a server, and where it listens."""

import re
from typing import Any, cast

import click
import pytest
from click.testing import CliRunner
from tunesmith import TunesmithError
from tunesmith.errors import ConfigError
from tunesmith_command_api.checking import check_options
from tunesmith_command_api.flags import with_flags
from tunesmith_command_api.guarding import Guard, check_key, refuse_open
from tunesmith_command_api.options import ServerOptions
from tunesmith_library_serving import guarding
from tunesmith_library_serving.guarding import is_loopback, own_names
from tunesmith_library_testing.asgi import ask, heard

KEY = "sk-right-0123456789"


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {KEY}"},
        {"authorization": f"bearer  {KEY}"},
        {"x_api_key": KEY},
        {"x_api_key": KEY, "authorization": "Bearer wrong"},
    ],
)
def test_the_key_opens(headers):
    assert ask(Guard(heard, key=KEY), **headers).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": KEY},
        {"authorization": f"Basic {KEY}"},
        {"authorization": "Bearer"},
        {"authorization": f"Bearer {KEY}x"},
        {"authorization": f"Bearer {KEY[:-1]}"},
        {"x_api_key": ""},
        {"x_api_key": "\xe9"},
    ],
)
def test_nothing_else_does(headers):
    reply = ask(Guard(heard, key=KEY), **headers)
    assert reply.status == 401 and reply.json["error"]["code"] == "invalid_api_key"
    assert reply.headers["www-authenticate"] == "Bearer" and KEY not in reply.body.decode()


def test_each_family_of_routes_hears_refusals_in_its_own_shape():
    guard = Guard(heard, key=KEY)
    assert ask(guard, "/v1/messages", method="POST").json["error"]["type"] == "authentication_error"
    assert ask(guard, "/v1/messages", method="POST").json["type"] == "error"
    assert set(ask(guard, "/v1/completions", method="POST").json["error"]) == {"message", "type", "param", "code"}


def test_health_needs_no_key_but_the_right_host():
    guard = Guard(heard, key=KEY, names=own_names("127.0.0.1", ()))
    assert ask(guard, "/health").status == 200
    assert ask(guard, "/metrics").status == 401
    assert ask(guard, "/health", host="evil.example").status == 403


@pytest.mark.parametrize("key", ["", "  ", "a\nb", " x", "schlüssel"])
def test_a_key_that_no_client_can_send_is_refused_without_being_told(key):
    with pytest.raises(TunesmithError, match="no key that a client could send") as raised:
        check_key(key)
    assert not key.strip() or key not in str(raised.value)
    check_key(KEY)
    check_key(None)


def test_a_key_stays_secret():
    assert KEY not in repr(ServerOptions(api_key=KEY))


def test_where_the_key_comes_from():
    @click.command()
    @with_flags
    def command(api_key, **_):
        click.echo(repr(api_key))

    def given(*line, **environment):
        return CliRunner().invoke(command, line, env=environment).output.strip()

    assert given("--api-key", "given", API_KEY="common", TUNESMITH_API_KEY="own") == "'given'"
    assert given(API_KEY="common", TUNESMITH_API_KEY="own") == "'own'"
    assert given(API_KEY="common", TUNESMITH_API_KEY="") == "'common'"
    assert given(API_KEY="", TUNESMITH_API_KEY="") == "None"
    assert "common" not in given("--help", API_KEY="common")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "example.org", ""])
def test_no_other_address_without_a_key(host):
    with pytest.raises(TunesmithError, match=r"TUNESMITH_API_KEY[\s\S]*--insecure") as raised:
        refuse_open(host, None, insecure=False)
    assert not re.search(r"--api-key\b", str(raised.value))  # which every user of the machine could read
    refuse_open(host, KEY, insecure=False)
    refuse_open(host, None, insecure=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "localhost", "LOCALHOST."])
def test_loopback_needs_none(host):
    assert is_loopback(host)
    refuse_open(host, None, insecure=False)


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200),
        ("LocalHost", 200),
        ("localhost.", 200),
        ("127.0.0.1", 200),
        ("[::1]:8000", 200),
        ("proxy.example:443", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("evil.example@localhost", 403),
        ("localhost/evil", 403),
        ("localhost:port", 403),
        ("", 403),
        ("192.168.0.7", 403),
    ],
)
def test_names_that_a_server_on_loopback_is_called_by(host, status):
    guard = Guard(heard, names=own_names("127.0.0.1", ["Proxy.example"]))
    assert ask(guard, host=host).status == status


def test_elsewhere_any_name_will_do_unless_some_are_given():
    assert own_names("0.0.0.0", ()) is None
    assert ask(Guard(heard), host="anything").status == 200
    assert ask(Guard(heard, names=own_names("0.0.0.0", ["a.example"])), host="b.example").status == 403


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://evil.example", 403),
        ("null", 403),
        ("http://127.0.0.1:9000", 403),  # another program of this machine
        ("http://127.0.0.1:8000", 200),  # a page of the server's own
        ("https://page.example", 200),
    ],
)
def test_pages_of_other_sites_may_not_ask_without_a_key(origin, status):
    guard = Guard(heard, names=own_names("127.0.0.1", ()), origins=["https://page.example"])
    assert ask(guard, "/v1/completions", method="POST", origin=origin).status == status


def test_a_page_with_the_key_may():
    reply = ask(Guard(heard, key=KEY), origin="https://page.example", authorization=f"Bearer {KEY}")
    assert reply.status == 200


def test_keys_are_compared_in_constant_time(monkeypatch):
    """Nothing but digests of one length is compared, and only by what takes the same time for all of them."""
    compared = []
    monkeypatch.setattr(guarding.hmac, "compare_digest", lambda one, other: compared.append((one, other)) or True)
    for sent in ("x", KEY, KEY[:-1], "y" * 500):
        assert ask(Guard(heard, key=KEY), x_api_key=sent).status == 200
    assert compared and {len(one) for pair in compared for one in pair} == {32}


def test_a_name_that_is_no_option_is_told_with_the_nearest():
    from tunesmith.errors import ConfigError
    from tunesmith_command_api.server import Server

    with pytest.raises(ConfigError, match=r"(?s)strct.*did you mean strict\?.*prt.*did you mean port\?"):
        Server(strct=True, prt=0, host="127.0.0.1")


def test_all_that_is_wrong_with_the_options_is_told_at_once(tmp_path):
    wrong = ServerOptions(
        host="0.0.0.0",
        max_queue=0,
        timeout=-1.0,
        drain=float("nan"),
        keep_alive=float("inf"),
        port=cast("Any", "x"),
        allow_adapters=str(tmp_path / "nothing"),
        allow_media_path=(str(tmp_path), str(tmp_path / "none")),
        allow_origin=("example.org", "https://example.org/page", "https://example.org", "*"),
        allow_media_host=("https://example.org",),
        adapter=("polite",),
    )
    with pytest.raises(ConfigError) as raised:
        check_options(wrong)
    said = str(raised.value)
    for part in (
        "--host 0.0.0.0",
        "--max-queue 0: it is a number of at least 1",
        "--timeout -1.0",
        "--drain nan",
        "--keep-alive inf",
        "--port x: it is a number of at least 0",
        "nothing: there is no such folder",
        "none: there is no such folder",
        "--allow-origin example.org:",
        "--allow-origin https://example.org/page:",
        "https://example.org: it is a name alone",
        "NAME=PATH",
    ):
        assert part in said
    assert said.count("no such folder") == 2 and said.count("--allow-origin") == 2
    assert check_options(ServerOptions()) == {}
