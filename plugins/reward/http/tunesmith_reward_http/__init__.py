"""A reward that a service computes: answers are posted as JSON, scores come back."""

from __future__ import annotations

import http.client
import json
import math
import os
import queue
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

from tunesmith import TunesmithError, hookimpl, plugin
from tunesmith.messages import logger
from tunesmith.ranges import above, at_least, between, filled
from tunesmith.types import Message, Problem

from .address import authorization, fault, without_user

_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})  # answers after which another attempt may do better
_LARGEST = 64 * 2**20  # bytes of an answer


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirection would take the headers, and the data, to another host."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


@plugin
class Http:
    """Posts `{"prompts", "completions", "rows"}` and reads `{"scores": [number, …]}`, one per completion."""

    SHORTHAND: ClassVar[str] = "url"
    guarded: ClassVar[tuple[str, ...]] = ("url", "headers")

    weight: Annotated[float, between(-1_000_000, 1_000_000)] = 1.0  # multiplies the score
    url: Annotated[str, filled]  # of the service, http:// or https://
    timeout: Annotated[float, above(0, most=86_400)] = 60.0  # seconds for a whole answer
    # further attempts when the service cannot be reached or is busy, 1, 2, 4, … seconds apart
    retries: Annotated[int, between(0, 12)] = 3
    batch_size: Annotated[int, at_least(1, most=1_000_000)] = 64  # completions in one request
    # headers of the request, each with the name of the environment variable that holds its value
    headers: dict[str, str] = {}

    @hookimpl
    def check(self, plan: Any) -> list[Problem]:
        problems = []
        message, advice = fault(self.url)
        if message:
            problems.append(Problem("reward.http.url", f"reward.http.url {message}", advice))
        elif authorization(self.url) and "authorization" in map(str.lower, self.headers):
            message = "reward.http.url has a user and password, and reward.http.headers an Authorization."
            problems.append(Problem("reward.http.url", message, "leave one of them out"))
        for header, variable in self.headers.items():
            if variable not in os.environ:
                message = f"the environment variable of the header {header} is not set."
                problems.append(Problem(f"reward.http.headers.{header}", message, "set it, and give its name here"))
        return problems

    @hookimpl
    def score(
        self, prompts: Sequence[Sequence[Message]], completions: Sequence[str], rows: Sequence[Mapping[str, Any]]
    ) -> list[float]:
        scores: list[float] = []
        for start in range(0, len(completions), self.batch_size):
            some = slice(start, start + self.batch_size)
            question: dict[str, list[Any]] = {
                "prompts": [list(prompt) for prompt in prompts[some]],
                "completions": list(completions[some]),
                "rows": [dict(row) for row in rows[some]],
            }
            answer = self._post(json.dumps(question, ensure_ascii=False, default=str).encode())
            scores += self._scores(answer, len(question["completions"]))
        return scores

    def _post(self, body: bytes) -> bytes:
        """Post, and try again where that may help.

        Raises: TunesmithError that names the host, never a header.
        """
        headers = {"Content-Type": "application/json", **authorization(self.url)}
        headers |= {header: os.environ.get(variable, "").strip() for header, variable in self.headers.items()}
        request = urllib.request.Request(without_user(self.url), data=body, headers=headers, method="POST")
        for attempt in range(self.retries + 1):
            try:
                return within(self.timeout, lambda: _answer(request, self.timeout))
            except urllib.error.HTTPError as error:
                reason, helpful = f"status {error.code}", error.code in _LATER
                error.close()
            except TooLarge as error:
                reason, helpful = str(error), False
            except (OSError, http.client.HTTPException) as error:
                reason, helpful = str(getattr(error, "reason", error)) or type(error).__name__, True
            except ValueError:  # whose message may hold the value of a header
                reason, helpful = "the request cannot be sent; is a header's value one line of Latin letters?", False
            if not helpful or attempt == self.retries:
                raise TunesmithError(
                    f"reward.http: {self._host()} gave no scores: {reason}.\n  is the service running?"
                )
            logger.warning("reward.http: %s: %s; trying again in %d s", self._host(), reason, 2**attempt)
            time.sleep(2**attempt)
        raise AssertionError

    def _host(self) -> str:
        """The address without user, password and query."""
        parts = urlsplit(without_user(self.url))
        return f"{parts.scheme}://{parts.netloc}{parts.path}"

    def _scores(self, answer: bytes, count: int) -> list[float]:
        """Raises: TunesmithError when the answer is not one finite number per completion."""
        try:
            found = json.loads(answer)["scores"]
            if not isinstance(found, list):
                raise TypeError
            odd = [index for index, item in enumerate(found) if not _is_number(item)]
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
            shown = answer[:80].decode(errors="replace")
            raise TunesmithError(
                f'reward.http: {self._host()} answered {shown!r}.\n  expected: {{"scores": [number, …]}}'
            ) from error
        if len(found) != count or odd:
            what = f"{len(found)} scores for {count} completions"
            if odd:
                what = f"{ascii(found[odd[0]])[:40]} for completion {odd[0]} of {count}, which is no finite number"
            raise TunesmithError(f'reward.http: {self._host()} gave {what}.\n  expected: {{"scores": [number, …]}}')
        return [float(item) for item in found]


def _is_number(item: Any) -> bool:
    """Whether a score is a finite number: no text, no truth value, and none that a float cannot hold."""
    return type(item) in (int, float) and math.isfinite(item)


class TooLarge(Exception):
    """An answer of more bytes than are read."""


def _answer(request: urllib.request.Request, seconds: float) -> bytes:
    """Post, and read an answer for as long as it may take, however slowly it comes."""
    until = time.monotonic() + seconds
    parts, length = [], 0
    with urllib.request.build_opener(_NoRedirect).open(request, timeout=seconds) as response:
        while part := response.read1(1 << 16):
            parts.append(part)
            length += len(part)
            if length > _LARGEST:
                raise TooLarge(f"the answer has more than {_LARGEST >> 20} MiB")
            if time.monotonic() > until:
                raise TimeoutError("timed out")
    return b"".join(parts)


def within(seconds: float, work: Callable[[], bytes]) -> bytes:
    """Do something that has a time, which a socket's own limit is not: that one counts from byte to byte.

    Raises: what the work raises; TimeoutError when it takes longer, and then it is left behind.
    """
    done: queue.SimpleQueue[bytes | BaseException] = queue.SimpleQueue()

    def run() -> None:
        try:
            done.put(work())
        except BaseException as error:
            done.put(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        result = done.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no whole answer within {seconds:g} s") from None
    if isinstance(result, BaseException):
        raise result
    return result
