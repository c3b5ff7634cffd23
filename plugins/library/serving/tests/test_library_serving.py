"""What servers share; how it refuses requests is tested with the servers."""

from __future__ import annotations

import socket

import pytest
from tunesmith import TunesmithError
from tunesmith_library_serving.guarding import Secret, bearer, called_right, from_elsewhere, host_name, own_names
from tunesmith_library_serving.listening import address, bound


def test_a_port_that_is_taken_is_said_with_one_that_is_free() -> None:
    with bound("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(TunesmithError, match=rf"cannot listen on 127.0.0.1:{port}[\s\S]*--port (\d+)") as raised:
            bound("127.0.0.1", port)
        free = int(str(raised.value).rpartition("--port ")[2].split()[0])
        with bound("127.0.0.1", free) as second:
            assert second.getsockname()[1] == free != port


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 70000), ("192.0.2.1", 7860), ("no.such.name.invalid", 7860)])
def test_where_one_cannot_listen(host: str, port: int) -> None:
    with pytest.raises(TunesmithError, match="0 for any that is free"):
        bound(host, port)


def test_addresses_as_a_browser_takes_them() -> None:
    assert address("127.0.0.1", 80) == "http://127.0.0.1:80"
    assert address("::1", 80) == "http://[::1]:80"
    assert address("0.0.0.0", 80) == "http://127.0.0.1:80"


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_the_other_loopback() -> None:
    try:
        listening = bound("::1", 0)
    except TunesmithError:
        pytest.skip("no IPv6 here")
    with listening:
        assert listening.family == socket.AF_INET6


@pytest.mark.parametrize(
    ("host", "name"),
    [("A.Example.:80", "a.example"), ("[::1]:80", "::1"), ("a:b", None), ("u@a", None), ("a/b", None), ("", None)],
)
def test_the_name_in_a_host(host: str, name: str | None) -> None:
    assert host_name(host) == name


def test_names_and_pages() -> None:
    names = own_names("127.0.0.1", ("proxy.example",))
    assert called_right("proxy.example", names) and called_right("127.9.9.9:1", names)
    assert not called_right("evil.example", names) and not called_right(None, names)
    assert called_right("evil.example", None)
    assert not from_elsewhere(None, "a") and not from_elsewhere("http://A:1", "a:1")
    assert from_elsewhere("http://a:2", "a:1") and from_elsewhere("null", "a")


def test_secrets() -> None:
    secret = Secret("pässwort\udc80")
    assert secret.is_("pässwort\udc80") and not secret.is_("pässwort") and not secret.is_("")
    assert "pässwort" not in repr(vars(secret))
    assert bearer("Bearer pässwort".encode().decode("latin-1")) == "pässwort"
    assert bearer("bearer  x ") == "x" and bearer("Basic x") == bearer(None) == ""
