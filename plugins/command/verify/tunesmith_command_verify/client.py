"""Asks an OpenAI-compatible server, without anything but the standard library. No key goes into a message."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from tunesmith import TunesmithError
from tunesmith.messages import logger

_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})  # after which another attempt may do better
_STARTING = frozenset({502, 503})  # what a server that loads its model, or a proxy before it, answers
_PAUSE = 1.0  # seconds until a server that starts is looked at again
_ATTEMPTS = 4
_LONGEST_WAIT = 30.0  # seconds that a server may ask to be left alone
_LARGEST = 64 * 2**20  # bytes of an answer
_SHOWN = 200  # characters of what a server says of a mistake


class Refused(TunesmithError):
    """The server was asked for something that it does not do; `status` is HTTP's."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirection would take the key to another host."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Client:
    """One server.

    Args:
        url: with or without `/v1` at its end.
        key: sent as a bearer token; None for a server without one.
        timeout: seconds for one answer.

    Raises: TunesmithError for what is no address.
    """

    def __init__(self, url: str, key: str | None = None, timeout: float = 120.0) -> None:
        try:
            parts = urlsplit(url)
            good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and url.isascii()
        except ValueError:
            parts, good = urlsplit(""), False
        if not good or any(character.isspace() for character in url):
            raise TunesmithError("--url is no address of a server.\n  for example: --url http://localhost:8000")
        if parts.username is not None or parts.query or parts.fragment:
            raise TunesmithError(
                "--url holds more than host and path.\n  a key is read from the environment: --api-key-env NAME"
            )
        path = parts.path.rstrip("/")
        self.root = f"{parts.scheme}://{parts.netloc}{path if path.endswith('/v1') else f'{path}/v1'}"
        self._key, self._timeout = key, timeout

    def wait(self, seconds: float) -> None:
        """Wait until the server takes requests: while it loads a model it refuses connections, or answers 503.

        What it answers then is not looked at: `models` says what is wrong with it.

        Args:
            seconds: to wait at most; 0 does not look.

        Raises: TunesmithError when it has not started by then.
        """
        end, told = time.monotonic() + seconds, False
        while seconds and (reason := self._starting()) is not None:
            if time.monotonic() >= end:
                raise TunesmithError(
                    f"{self.root} {reason}, and did so for {seconds:g} s.\n"
                    "  is the server running there? --wait SECONDS waits longer for one that loads its model"
                )
            if not told:
                logger.warning("%s %s; waiting %g s for it to start (--wait)", self.root, reason, seconds)
                told = True
            time.sleep(min(_PAUSE, max(0.0, end - time.monotonic())))

    def _starting(self) -> str | None:
        """Why a server seems to be starting; None of one that runs, whatever it answers."""
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        request = urllib.request.Request(f"{self.root}/models", headers=headers)
        try:
            with urllib.request.build_opener(_NoRedirect).open(request, timeout=self._timeout):
                return None
        except urllib.error.HTTPError as error:
            with error:
                return f"answers with status {error.code}" if error.code in _STARTING else None
        except (OSError, http.client.HTTPException) as error:
            refused = isinstance(getattr(error, "reason", error), ConnectionRefusedError)
            return "refuses connections" if refused else None

    def models(self) -> list[str] | None:
        """The names of what it serves; None where it does not tell.

        Raises: TunesmithError when nobody answers, or the key is refused.
        """
        try:
            said = self._asked("models")
        except Refused as error:
            if error.status in (404, 405, 501):
                return None
            raise
        listed = said.get("data")
        if not isinstance(listed, list):
            raise TunesmithError(f"{self.root}/models lists no models; is it an OpenAI-compatible server?")
        return [str(item["id"]) for item in listed if isinstance(item, Mapping) and "id" in item]

    def post(self, path: str, question: Mapping[str, Any]) -> Mapping[str, Any]:
        """Raises: Refused for what the server does not do; TunesmithError when it cannot answer."""
        return self._asked(path, {**question, "stream": False})

    def _asked(self, path: str, question: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        address = f"{self.root}/{path}"
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        headers |= {"Authorization": f"Bearer {self._key}"} if self._key else {}
        body = None if question is None else json.dumps(question, ensure_ascii=False).encode()
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._read(urllib.request.Request(address, body, headers), address)
            except urllib.error.HTTPError as error:
                with error:
                    if error.code not in _BUSY or attempt == _ATTEMPTS or (error.code == 500 and attempt > 1):
                        raise self._refused(error, address) from None
                    wait, reason = _wait(error.headers.get("Retry-After"), attempt), f"status {error.code}"
            except (OSError, http.client.HTTPException) as error:
                reason = str(getattr(error, "reason", error)) or type(error).__name__
                if attempt == _ATTEMPTS or path == "models":
                    raise TunesmithError(
                        f"{address} cannot be reached: {reason}.\n  is the server running there?"
                    ) from None
                wait = _wait(None, attempt)
            logger.warning("%s: %s; trying again in %.0f s", address, reason, wait)
            time.sleep(wait)
        raise AssertionError("every attempt either returns or raises")

    def _read(self, request: urllib.request.Request, address: str) -> Mapping[str, Any]:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=self._timeout) as response:
            form = response.headers.get_content_type()
            content = response.read(_LARGEST + 1)
        if form == "text/event-stream":
            raise TunesmithError(f"{address} streams its answer, which it was asked not to do")
        try:
            said = json.loads(content)
        except (ValueError, RecursionError):
            said = None
        if len(content) > _LARGEST or not isinstance(said, dict):
            shown = self._without_key(content[:60].decode(errors="replace"))
            raise TunesmithError(f"{address} answered no JSON: {shown!r}\n  is it an OpenAI-compatible server?")
        return said

    def _refused(self, error: urllib.error.HTTPError, address: str) -> Refused:
        """What a status means, and what to do."""
        advice = {
            401: "it wants a key: --api-key-env NAME, the environment variable that holds it",
            403: "it refuses who sends no key: --api-key-env NAME, the environment variable that holds one",
            404: "is it an OpenAI-compatible server? --url is the address before /v1",
            429: "it is busy; the same command again later",
        }.get(error.code, "its own log may say more")
        if error.code in (401, 403) and self._key:
            verb = "does not know" if error.code == 401 else "refuses"
            advice = f"it {verb} the key that was sent: see what the environment variable of --api-key-env holds"
        if 300 <= error.code < 400:
            advice = "it sends elsewhere, which is not followed: --url is to be that address"
        try:
            said = json.loads(error.read(_LARGEST))
            said = said.get("error", said.get("detail", said.get("message", said)))
            said = said.get("message", said) if isinstance(said, dict) else said
        except (OSError, ValueError, AttributeError, http.client.HTTPException):
            said = ""
        shown = self._without_key(" ".join(str(said).split()))[:_SHOWN]
        told = f": {shown}" if shown else ""
        return Refused(f"{address} answered with status {error.code}{told}\n  {advice}", error.code)

    def _without_key(self, text: str) -> str:
        """Some servers repeat the key that they refuse."""
        return text.replace(self._key, "***") if self._key else text


def _wait(asked: str | None, attempt: int) -> float:
    """Seconds until the next attempt: what the server asks for, else 1, 2, 4."""
    try:
        return min(max(float(asked or ""), 0.0), _LONGEST_WAIT)
    except ValueError:
        return float(2 ** (attempt - 1))
