"""Asks a server over HTTP: attempts, waits, and what its mistakes mean. No key goes into a message or a log."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
from tunesmith import TunesmithError
from tunesmith.messages import logger

_BUSY = frozenset({408, 409, 425, 429, 500, 502, 503, 504})  # after which another attempt may do better
_LONGEST_WAIT = 60.0  # seconds that are waited before an attempt; who asks for more is not asked again
_SHOWN = 300  # characters of what a server says of a mistake
_SPENT = frozenset({"insufficient_quota", "billing_hard_limit_reached"})  # 429 that no waiting mends
_CONNECT = 15.0  # seconds

Said = Mapping[str, Any]


class Refused(TunesmithError):
    """The server was asked for something that it does not do; `status` is HTTP's."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class _Unsaid(Exception):
    """An attempt that failed before anything was said, so that another may follow; `wait` is what the server asks."""

    def __init__(self, told: TunesmithError, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.told, self.reason, self.wait = told, reason, wait


class Client:
    """One server. Its methods are called in one event loop.

    Args:
        url: up to the routes; `…/v1`.
        key: sent as a bearer token; None for a server without one.
        variable: that of the environment which holds the key.
        timeout: seconds without a word after which a request is given up.
        retries: attempts after the first.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        variable: str | None = None,
        timeout: float = 600.0,
        retries: int = 5,
    ) -> None:
        self.url, self._variable = url.rstrip("/"), variable
        self._key, self._retries, self._timeout = key, retries, timeout
        self._http: httpx2.AsyncClient | None = None

    async def get(self, path: str) -> Said:
        """Raises: Refused for what the server does not do; TunesmithError when it cannot be reached."""
        return await self._attempted(path, None)

    async def post(self, path: str, body: Said) -> Said:
        """Raises: Refused for what the server does not do; TunesmithError when it cannot answer."""
        return await self._attempted(path, body)

    async def stream(self, path: str, body: Said) -> AsyncIterator[Said]:
        """What a server says, piece by piece; closing the iterator closes the connection.

        Attempts follow each other until something was said. A server that does not stream gives one piece.

        Raises: as `post`, and when the connection breaks.
        """
        attempt = 0
        while True:
            said = False
            try:
                async with self._asked(path, {**body, "stream": True}) as response:
                    async for event in _events(response):
                        if event.get("error"):
                            raise self._in_stream(event["error"], path)
                        said = True
                        yield event
                return
            except httpx2.HTTPError as error:
                if said:
                    reason = f"{self.url}/{path}: the connection broke within an answer: {_reason(error)}"
                    raise TunesmithError(reason) from None
                failure = self._unreached(error, path)
            except _Unsaid as error:
                failure = error
            except ValueError as error:
                raise TunesmithError(f"{self.url}/{path} said what is no JSON: {error}") from None
            attempt = await self._again(failure, attempt, path)

    async def close(self) -> None:
        """Let the connections go."""
        if self._http is not None:
            await self._http.aclose()

    # ---- one attempt, and another

    async def _attempted(self, path: str, body: Said | None) -> Said:
        attempt = 0
        while True:
            try:
                async with self._asked(path, body) as response:
                    return self._read(await response.aread(), path)
            except httpx2.HTTPError as error:
                failure = self._unreached(error, path)
            except _Unsaid as error:
                failure = error
            attempt = await self._again(failure, attempt, path)

    async def _again(self, failure: _Unsaid, attempt: int, path: str) -> int:
        """Wait before another attempt; give its number.

        Raises: TunesmithError when there have been enough.
        """
        wait = failure.wait
        if attempt >= self._retries or (wait is not None and wait > _LONGEST_WAIT):
            raise failure.told from None
        if wait is None:
            wait = min(2.0**attempt / 2, _LONGEST_WAIT) * random.uniform(0.75, 1.25)
        logger.warning("%s/%s: %s; trying again in %.1f s", self.url, path, failure.reason, wait)
        await asyncio.sleep(wait)
        return attempt + 1

    @asynccontextmanager
    async def _asked(self, path: str, body: Said | None) -> AsyncIterator[httpx2.Response]:
        """One attempt: the response to a request, if it is a good one."""
        if self._http is None:
            headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
            limits = httpx2.Limits(max_connections=None, max_keepalive_connections=64)
            timeout = httpx2.Timeout(self._timeout, connect=min(_CONNECT, self._timeout))
            self._http = httpx2.AsyncClient(headers=headers, limits=limits, timeout=timeout, follow_redirects=False)
        address, method = f"{self.url}/{path}", "GET" if body is None else "POST"
        async with self._http.stream(method, address, json=body) as response:
            if response.status_code != 200:
                raise await self._refused(response, path)
            yield response

    async def _refused(self, response: httpx2.Response, path: str) -> Exception:
        """What a status means: something to be told, or to be tried again."""
        with contextlib.suppress(httpx2.HTTPError):
            await response.aread()
        error, status = _error_of(_text(response)), response.status_code
        advice = _advice(status, self._variable)
        told = Refused(f"{self.url}/{path} answers with status {status}{self._shown(error)}.\n  {advice}", status)
        if status not in _BUSY or _SPENT & {str(error.get("code")), str(error.get("type"))}:
            return told
        return _Unsaid(told, f"status {status}", _wait(response.headers.get("Retry-After")))

    def _in_stream(self, error: Any, path: str) -> TunesmithError:
        shown = self._shown(error if isinstance(error, Mapping) else {"message": error})
        return TunesmithError(f"{self.url}/{path} failed within an answer{shown}")

    def _unreached(self, error: httpx2.HTTPError, path: str) -> _Unsaid:
        reason = _reason(error)
        if isinstance(error, httpx2.ReadTimeout):
            advice = f"it said nothing for {self._timeout:g} s; engine.timeout=SECONDS waits longer"
        else:
            advice = "is the server running there? engine.base_url is its address"
        return _Unsaid(TunesmithError(f"{self.url}/{path} cannot be reached: {reason}.\n  {advice}"), reason)

    def _read(self, content: bytes, path: str) -> Said:
        try:
            said = json.loads(content)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict):
            shown = self._without_key(content[:60].decode(errors="replace"))
            raise TunesmithError(
                f"{self.url}/{path} answered no JSON object: {shown!r}\n  is it an OpenAI-compatible server?"
            )
        return said

    def _shown(self, error: Mapping[str, Any]) -> str:
        """What a server says of a mistake, as a part of a sentence."""
        text = self._without_key(" ".join(str(error.get("message") or "").split()))[:_SHOWN].rstrip(".")
        return f": {text}" if text else ""

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "…") if self._key else text


async def _events(response: httpx2.Response) -> AsyncIterator[dict[str, Any]]:
    """The objects of a stream of events; of a response that is none, the one that it is."""
    if "text/event-stream" not in response.headers.get("Content-Type", ""):
        said = json.loads(await response.aread() or b"null")
        if isinstance(said, dict):
            yield said
        return
    async for line in response.aiter_lines():
        if line.startswith("data:") and (data := line[5:].strip()) and data != "[DONE]":
            said = json.loads(data)
            if isinstance(said, dict):
                yield said


def _text(response: httpx2.Response) -> str:
    try:
        return response.text
    except httpx2.HTTPError:  # it broke off
        return ""


def _error_of(text: str) -> dict[str, Any]:
    """The mistake as servers tell it: OpenAI's shape, that of FastAPI, or text."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return {} if "<html" in text.lower() else {"message": text}
    said = said.get("error") or said.get("detail") or said if isinstance(said, dict) else said
    return said if isinstance(said, dict) else {"message": said}


def _advice(status: int, variable: str | None) -> str:
    if 300 <= status < 400:
        return "it sends elsewhere, which is not followed: engine.base_url is to be that address"
    if status in (401, 403) and variable:
        verb = "does not know" if status == 401 else "refuses"
        return f"it {verb} the key that was sent, that of the environment variable {variable} (engine.api_key_env)"
    return {
        400: "it does not take this request; the server's log may say more",
        401: "it wants a key: engine.api_key_env=NAME, the environment variable that holds it",
        403: "it refuses who sends no key: engine.api_key_env=NAME, the environment variable that holds one",
        404: "engine.base_url ends before the routes, in most cases with /v1; engine.model is a name that it lists",
        429: "it is busy, or what was paid for is spent; engine.batch_size=N asks less at a time",
    }.get(status, "the server's log may say more")


def _wait(asked: str | None) -> float | None:
    """Seconds that a server asks to be left alone: a number, or a date."""
    if not asked:
        return None
    try:
        return max(float(asked), 0.0)
    except ValueError:
        pass
    try:
        return max((parsedate_to_datetime(asked) - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return None


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
