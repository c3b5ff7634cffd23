"""A file of another host, where whoever runs us allows that host: the address is looked at, not the name alone.

A name is resolved once, every address that it stands for has to be allowed, and the connection goes to the first of
them; so a name that points elsewhere a moment later gains nothing. A redirection is a new question.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urljoin, urlsplit

_REDIRECTIONS = 5
_MOVED = frozenset({301, 302, 303, 307, 308})
_PORTS = {"http": 80, "https": 443}
_EMBEDDING = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("::/96"))  # NAT64, and IPv4-compatible

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Unfetchable(Exception):
    """What was asked for cannot be had, or must not."""


@dataclass(frozen=True)
class Allowed:
    """Who may be asked for files, and how much for."""

    hosts: Sequence[str]  # see `allows`
    max_bytes: int  # that a file may have
    seconds: float  # that all of it may take, redirections included
    host_option: str = "--allow-media-host"  # by which hosts are named, for messages
    bytes_option: str = "--max-media-bytes"


def fetch(url: str, allowed: Allowed) -> bytes:
    """What an address holds.

    Raises: Unfetchable.
    """
    seconds = allowed.seconds
    until = time.monotonic() + seconds
    for _ in range(_REDIRECTIONS + 1):
        parts = _split(url)
        if not allows(allowed.hosts, parts):
            raise Unfetchable(f"{parts.hostname!r} may not be asked; {allowed.host_option} names the hosts that may be")
        try:
            found = _get(parts, _addresses(parts, allowed), allowed, until)
        except TimeoutError as error:
            raise Unfetchable(f"{parts.hostname} took longer than {seconds:g} seconds") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            late = time.monotonic() >= until
            said = f"took longer than {seconds:g} seconds" if late else f"cannot be asked: {error}"
            raise Unfetchable(f"{parts.hostname} {said}") from error
        if isinstance(found, bytes):
            return found
        url = urljoin(url, found)
    raise Unfetchable(f"{parts.hostname} sends from one address to another, more than {_REDIRECTIONS} times")


def allows(hosts: Sequence[str], parts: SplitResult) -> bool:
    """Whether a host may be asked.

    Args:
        hosts: `example.org`, `*.example.org` for all below it, `*` for all; with another port than HTTP's
            `example.org:8080`.
    """
    name, port = (parts.hostname or "").rstrip("."), _port(parts)
    if port != _PORTS[parts.scheme]:
        name = f"{name}:{port}"
    return any(
        each == name or (each == "*" and ":" not in name) or (each.startswith("*.") and name.endswith(each[1:]))
        for each in map(str.lower, hosts)
    )


def is_public(address: Address) -> bool:
    """Whether an address is one of the internet's, and of no inner network, machine or link."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is None and any(address in network for network in _EMBEDDING):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not (address.is_multicast or address.is_reserved)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        good = parts.scheme in _PORTS and bool(parts.hostname) and _port(parts) > 0
    except ValueError:
        raise Unfetchable(f"{url[:200]!r} is no address") from None
    if not good or parts.username is not None:
        raise Unfetchable(f"{url[:200]!r} is no address of http or https without a name of a user")
    return parts


def _port(parts: SplitResult) -> int:
    return _PORTS[parts.scheme] if parts.port is None else parts.port


def _addresses(parts: SplitResult, allowed: Allowed) -> list[str]:
    """The addresses of a host, all of which may be asked: public ones, and inner ones that are named themselves."""
    host = parts.hostname or ""
    listed = socket.getaddrinfo(host, _port(parts), type=socket.SOCK_STREAM)
    found = list(dict.fromkeys(str(entry[4][0]) for entry in listed))
    named = list(_networks(allowed.hosts))
    for each in found:
        address = ipaddress.ip_address(each.partition("%")[0])
        if not is_public(address) and not any(address in network for network in named):
            raise Unfetchable(
                f"{host} is at {each}, which is no public address; "
                f"{each} beside its name in {allowed.host_option} allows it"
            )
    return found


def _networks(hosts: Sequence[str]) -> Iterator[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """The addresses and networks among the names of hosts."""
    for each in hosts:
        with contextlib.suppress(ValueError):
            yield ipaddress.ip_network(each.strip("[]"))


def _get(parts: SplitResult, addresses: Sequence[str], allowed: Allowed, until: float) -> bytes | str:
    """What is there, or where to go on."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    host, port = parts.hostname or "", _port(parts)
    connection = http.client.HTTPConnection(host, port, timeout=left)
    connection.sock = _connected(addresses[0], port, host if parts.scheme == "https" else None, left)
    end = threading.Timer(max(0.0, until - time.monotonic()), _hang_up, [connection.sock])
    end.daemon = True
    end.start()  # what waits for each byte by itself would wait for ever for a byte now and then
    try:
        if isinstance(connection.sock, ssl.SSLSocket):
            connection.sock.do_handshake()
        connection.request("GET", _target(parts), headers={"accept-encoding": "identity", "user-agent": "tunesmith"})
        found = _read(connection.getresponse(), allowed)
    finally:
        end.cancel()
        connection.close()
    if time.monotonic() >= until:
        raise TimeoutError  # what came may end where we hung up
    return found


def _connected(address: str, port: int, encrypted_for: str | None, seconds: float) -> socket.socket:
    plain = socket.create_connection((address, port), timeout=seconds)
    if encrypted_for is None:
        return plain
    context = ssl.create_default_context()
    return context.wrap_socket(plain, server_hostname=encrypted_for, do_handshake_on_connect=False)


def _target(parts: SplitResult) -> str:
    query = f"?{quote(parts.query, safe='%/:@!$&()*+,;=~?')}" if parts.query else ""
    return quote(parts.path or "/", safe="/%:@!$&'()*+,;=~") + query


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _read(response: http.client.HTTPResponse, allowed: Allowed) -> bytes | str:
    max_bytes = allowed.max_bytes
    location = response.getheader("location")
    if response.status in _MOVED and location:
        return location
    if response.status != 200:
        raise Unfetchable(f"it answers with {response.status}")
    said = response.getheader("content-length")
    data = response.read(max_bytes + 1) if int(said or 0) <= max_bytes else None
    if data is None or len(data) > max_bytes:
        raise Unfetchable(f"it has more than {max_bytes} bytes; {allowed.bytes_option} allows no more")
    if said is not None and len(data) != int(said):
        raise Unfetchable(f"it sent {len(data)} of {said} bytes")
    return data
