"""While a model is loaded: whoever asks hears that the server is there, and not ready yet."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Iterator

_PATIENCE = 0.5  # seconds for a client to say what it wants, which is the same to us
_BODY = b'{"status": "loading", "error": {"message": "the model is being loaded", "type": "server_error", '
_BODY += b'"param": null, "code": "loading"}}'
_ANSWER = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 5\r\nconnection: close\r\n"
    + f"content-length: {len(_BODY)}\r\n\r\n".encode()
    + _BODY
)


@contextlib.contextmanager
def refusing_meanwhile(listening: socket.socket) -> Iterator[None]:
    """While entered, every request is answered with 503; who comes behind that waits for the server itself.

    Args:
        listening: bound to its address.
    """
    listening.listen(128)
    listening.setblocking(False)  # whoever knocked may be gone when the door is opened
    waking, woken = socket.socketpair()
    thread = threading.Thread(target=_refuse_all, args=(listening, woken), name="loading", daemon=True)
    with waking, woken:
        thread.start()
        try:
            yield
        finally:
            waking.send(b"x")
            thread.join()
            listening.setblocking(True)


def _refuse_all(listening: socket.socket, woken: socket.socket) -> None:
    while True:
        ready, _, _ = select.select([listening, woken], [], [])
        if woken in ready:
            return
        with contextlib.suppress(OSError):  # a client that hung up meanwhile
            client, _ = listening.accept()
            with client:
                client.settimeout(_PATIENCE)
                client.recv(65_536)  # a connection that is closed with bytes unread is reset
                client.sendall(_ANSWER)
