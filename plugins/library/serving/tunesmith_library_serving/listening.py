"""A socket at an address, before anything else is begun."""

from __future__ import annotations

import errno
import socket
from contextlib import closing

from tunesmith import TunesmithError

_LOOKED_AT = 100  # ports after one that is taken


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens; for port 0 at any port that is free.

    Raises: TunesmithError where there is none to be had; it names the next port that is free.
    """
    try:
        return _opened(host, port)
    except (OSError, OverflowError) as error:
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        free = next((other for other in range(port + 1, port + _LOOKED_AT) if _is_free(host, other)), 0) if taken else 0
        advice = f"--port {free} is free" if free else "choose another with --port, 0 for any that is free"
        raise TunesmithError(f"cannot listen on {host}:{port}: {error}\n  {advice}") from error


def address(host: str, port: int) -> str:
    """The address as a browser takes it; one of this machine for a server that listens on all."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def _opened(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host.strip("[]"), port), family=family)


def _is_free(host: str, port: int) -> bool:
    try:
        with closing(_opened(host, port)):
            return True
    except (OSError, OverflowError):
        return False
