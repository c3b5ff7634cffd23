"""How much one request may ask for, and how many may ask at a time: refused before anything is lost by it."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections import deque
from collections.abc import Callable, MutableMapping
from typing import Any

from tunesmith.types import Sampling
from tunesmith_library_serving.asgi import App, Receive, Scope, Send, header

from tunesmith_command_api.errors import invalid
from tunesmith_command_api.options import ServerOptions
from tunesmith_command_api.refusals import refuse

# a string that does not end goes to the end of the text, so that none is looked at twice
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?+', re.DOTALL)
_OTHERS = re.compile(rb"[^\[\]{}]++")
_MOST_MARKS = 2_000_000  # brackets or quotes of a body, whose pairs become objects many times their size
_REMEMBERED = 32  # requests by whose duration the next place is foretold


def brackets_of(body: bytes) -> bytes:
    """The brackets of a JSON text that stand in no string."""
    return _OTHERS.sub(b"", _STRINGS.sub(b"", body))


def depth_of(brackets: bytes) -> int:
    """How deep brackets are nested."""
    deepest = depth = 0
    for bracket in brackets:
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


FREE: frozenset[str] = frozenset({"/health", "/metrics", "/v1/models", "/docs", "/openapi.json"})
"""Paths that are answered also when no request has a place: they cost nothing."""


class Bodies:
    """Reads the body of a request whole, as far as it may go.

    Args:
        most: bytes that a body may have.
        depth: how deep its JSON may be nested.
        seconds: that it may take to arrive.
    """

    def __init__(self, app: App, *, most: int, depth: int, seconds: float) -> None:
        self._app, self._most, self._depth, self._seconds = app, most, depth, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        said = header(scope, "content-length") or ""
        if said.isdigit() and int(said) > self._most:
            await self._too_large(scope, send)
            return
        try:
            body = await asyncio.wait_for(self._read(receive), self._seconds)
        except TimeoutError:
            message = f"the body did not arrive within {self._seconds:g} seconds"
            await refuse(scope, send, 408, message, "body_timeout", {"connection": "close"})
            return
        if body is None:
            return  # the client has gone
        if len(body) > self._most:
            await self._too_large(scope, send)
            return
        brackets = brackets_of(body) if body.count(b'"') <= _MOST_MARKS else None
        if brackets is None or len(brackets) > _MOST_MARKS:
            message = f"the body has more than {_MOST_MARKS // 2} texts, or lists and objects"
            await refuse(scope, send, 400, message, "too_many_values")
        elif depth_of(brackets) > self._depth:
            message = f"the body is nested deeper than {self._depth} levels"
            await refuse(scope, send, 400, message, "nested_too_deep")
        else:
            await self._app(scope, _replayed(body, receive), send)

    async def _read(self, receive: Receive) -> bytes | None:
        """The body, or as much of it as shows that it is too large; None when the client hung up."""
        parts, length, more = [], 0, True
        while more and length <= self._most:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            parts.append(message.get("body", b""))
            length += len(parts[-1])
            more = message.get("more_body", False)
        return b"".join(parts)

    async def _too_large(self, scope: Scope, send: Send) -> None:
        """What is still to come of the body is dropped by uvicorn as it comes, for `client_timeout` at most.

        A connection that is closed with bytes unread is reset, and the client would not hear why.
        """
        message = f"the body has more than {self._most} bytes; start the server with --max-body-bytes to allow more"
        await refuse(scope, send, 413, message, "body_too_large")


def check_messages(count: int, options: ServerOptions) -> None:
    """Raises: ApiError for a conversation that is too long to be looked at."""
    if count > options.max_messages:
        message = f"the conversation has {count} messages; --max-messages allows {options.max_messages}"
        raise invalid(message, "messages", "too_many_messages")


def check_tokens(sampling: Sampling, options: ServerOptions) -> None:
    """Raises: ApiError for an answer that may become too long; what a request leaves open is the engine's to say."""
    wanted, most = sampling.max_new_tokens, options.max_tokens_per_request
    if most is not None and wanted is not None and wanted > most:
        message = f"{wanted} tokens are asked for; --max-tokens-per-request allows {most}"
        raise invalid(message, "max_tokens", "too_many_tokens")


def _replayed(body: bytes, receive: Receive) -> Receive:
    """What gives a body that was read already, and then what the connection says."""
    told = False

    async def replay() -> MutableMapping[str, Any]:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


class Places:
    """The requests that are answered or wait: no more at a time than there are places for.

    Args:
        most: requests.
        waiting: how many answers the engine has not begun, of which there may be `most` too.
        counts: of which paths requests are counted; others always have a place.
        clock: seconds.
    """

    def __init__(
        self,
        most: int,
        waiting: Callable[[], int] = lambda: 0,
        counts: Callable[[str], bool] = lambda path: path not in FREE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most, self._waiting, self._counts, self._clock = most, waiting, counts, clock
        self._took: deque[float] = deque(maxlen=_REMEMBERED)
        self.open = 0  # requests that are answered or wait
        self.draining = False  # whether no more are taken

    def counts(self, path: str) -> bool:
        """Whether requests of a path need a place."""
        return self._counts(path)

    def full(self) -> bool:
        """Whether there is no place for one more request."""
        return self.open >= self._most or self._waiting() >= self._most

    def enter(self) -> float:
        """Take a place; gives the time to leave it with."""
        self.open += 1
        return self._clock()

    def leave(self, entered: float) -> None:
        """Give a place back."""
        self.open -= 1
        self._took.append(self._clock() - entered)

    def retry_after(self) -> int:
        """Seconds after which one of those that are open has probably ended, 1 to 60."""
        if not self._took:
            return 1
        return min(60, max(1, math.ceil(sum(self._took) / len(self._took) / max(1, self.open))))


class Admission:
    """Gives requests a place, and turns away those that find none (429) or come while the server ends (503)."""

    def __init__(self, app: App, *, places: Places) -> None:
        self._app, self._places = app, places

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        places = self._places
        if scope["type"] != "http" or not places.counts(scope["path"]):
            await self._app(scope, receive, send)
            return
        after = {"retry-after": str(places.retry_after())}
        if places.draining:
            message = "the server is ending and takes no more requests"
            await refuse(scope, send, 503, message, "draining", after)
        elif places.full():
            message = f"{places.open} requests are open already; ask again later"
            await refuse(scope, send, 429, message, "queue_full", after)
        else:
            entered = places.enter()
            try:
                await self._app(scope, receive, send)
            finally:
                places.leave(entered)
