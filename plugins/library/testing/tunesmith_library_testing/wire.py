"""HTTP/1.1 over bare sockets: light enough to measure a server with, and able to say what no library would.

Each request has a connection of its own, which is closed after it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

_AT_ONCE = 1 << 16  # bytes


class Broken(ConnectionError):
    """The server closed the connection before its answer was whole."""


@dataclass(frozen=True)
class Reply:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Response:
    """An answer whose head has come."""

    def __init__(self, status: int, headers: Mapping[str, str], reader: asyncio.StreamReader) -> None:
        self.status = status
        self.headers = headers
        self._reader = reader

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes.

        Raises: Broken where it ends too early.
        """
        if self.headers.get("transfer-encoding") == "chunked":
            async for chunk in self._chunked():
                yield chunk
            return
        length = self.headers.get("content-length")
        missing = int(length) if length is not None else None
        while missing != 0:
            chunk = await self._reader.read(_AT_ONCE if missing is None else min(missing, _AT_ONCE))
            if not chunk:
                if missing is not None:
                    raise Broken(f"{missing} bytes of the body are missing")
                return
            missing = missing if missing is None else missing - len(chunk)
            yield chunk

    async def _chunked(self) -> AsyncIterator[bytes]:
        try:
            while size := int((await self._reader.readuntil(b"\r\n")).split(b";")[0], 16):
                yield (await self._reader.readexactly(size + 2))[:-2]
            await self._reader.readuntil(b"\r\n")
        except asyncio.IncompleteReadError as error:
            raise Broken("the body ends in the middle") from error

    async def body(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])

    async def events(self) -> AsyncIterator[str]:
        """The data of a stream of server-sent events, `[DONE]` among them."""
        data: list[str] = []
        async for line in self._lines():
            if line.startswith("data:"):
                data.append(line[5:].removeprefix(" "))
            elif not line and data:
                yield "\n".join(data)
                data = []

    async def _lines(self) -> AsyncIterator[str]:
        rest = b""
        async for chunk in self.chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line.removesuffix(b"\r").decode()


def request(
    path: str,
    body: Any = None,
    *,
    method: str | None = None,
    headers: Mapping[str, str] | None = None,
    host: str = "127.0.0.1",
) -> bytes:
    """A request as it goes over the wire.

    Args:
        body: sent as JSON; bytes are sent as they are; None is none, and then the method is GET.
        headers: beside, or instead of, those that belong to the body.
    """
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    lines = {"host": host, "connection": "close"}
    if body is not None:
        lines |= {"content-type": "application/json", "content-length": str(len(content))}
    lines |= headers or {}
    head = f"{method or ('GET' if body is None else 'POST')} {path} HTTP/1.1\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return head.encode("latin-1") + b"\r\n" + content


@asynccontextmanager
async def sent(port: int, data: bytes, *, patience: float = 60.0) -> AsyncIterator[Response]:
    """Send a request; leaving the block hangs up.

    Raises: Broken where the server closes without an answer; TimeoutError where its head takes longer than `patience`,
        in seconds.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        try:
            head = await asyncio.wait_for(_head(reader), patience)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise Broken("no answer") from error
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        pairs = (line.partition(":") for line in lines)
        yield Response(int(first.split()[1]), {name.lower(): value.strip() for name, _, value in pairs}, reader)
    finally:
        writer.transport.abort()


async def _head(reader: asyncio.StreamReader) -> bytes:
    """The lines before the body of the answer itself, which others may come before: `100 Continue`."""
    head = b"HTTP/1.1 1"
    while head.split()[1].startswith(b"1"):
        head = await reader.readuntil(b"\r\n\r\n")
    return head


async def ask(port: int, path: str, body: Any = None, *, patience: float = 60.0, **how: Any) -> Reply:
    """A request and its whole answer.

    Args:
        how: as `request` takes.

    Raises: as `sent`; TimeoutError also where the body takes longer.
    """
    async with sent(port, request(path, body, **how), patience=patience) as response:
        return Reply(response.status, response.headers, await asyncio.wait_for(response.body(), patience))
