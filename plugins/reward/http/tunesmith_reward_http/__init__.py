"""A reward that a service computes: answers are posted as JSON, scores come back."""

from __future__ import annotations

import json
import math
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

from tunesmith import TunesmithError, hookimpl, plugin
from tunesmith.messages import logger
from tunesmith.ranges import above, at_least, between, filled
from tunesmith.types import Message, Problem

_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})  # answers after which another attempt may do better
_LARGEST = 64 * 2**20  # bytes of an answer


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirection would take the headers, and the data, to another host."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


@plugin
class Http:
    """Posts `{"prompts", "completions", "rows"}` and reads `{"scores": [number, …]}`, one per completion."""

    guarded: ClassVar[tuple[str, ...]] = ("url", "headers")

    weight: Annotated[float, between(-1_000_000, 1_000_000)] = 1.0  # multiplies the score
    url: Annotated[str, filled]  # of the service, http:// or https://
    timeout: Annotated[float, above(0, most=86_400)] = 60.0  # seconds to wait for an answer
    # further attempts when the service cannot be reached or is busy, 1, 2, 4, … seconds apart
    retries: Annotated[int, between(0, 12)] = 3
    batch_size: Annotated[int, at_least(1, most=1_000_000)] = 64  # completions in one request
    # headers of the request, each with the name of the environment variable that holds its value
    headers: dict[str, str] = {}

    @hookimpl
    def check(self, plan: Any) -> list[Problem]:
        problems = []
        try:
            parts = urlsplit(self.url)
            named = parts.scheme in ("http", "https") and bool(parts.hostname)
        except ValueError:
            named = False
        if not named:
            message, advice = "is no address of a service.", "for example: http://localhost:8080/score"
            problems.append(Problem("reward.http.url", message, advice))
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
        headers = {"Content-Type": "application/json"}
        headers |= {header: os.environ.get(variable, "") for header, variable in self.headers.items()}
        request = urllib.request.Request(self.url, data=body, headers=headers, method="POST")
        opener = urllib.request.build_opener(_NoRedirect)
        for attempt in range(self.retries + 1):
            try:
                with opener.open(request, timeout=self.timeout) as response:
                    answer: bytes = response.read(_LARGEST)
                    return answer
            except urllib.error.HTTPError as error:
                reason, helpful = f"status {error.code}", error.code in _LATER
                error.close()
            except (OSError, ValueError) as error:
                reason, helpful = str(getattr(error, "reason", error)) or type(error).__name__, True
            if not helpful or attempt == self.retries:
                raise TunesmithError(
                    f"reward.http: {self._host()} gave no scores: {reason}.\n  is the service running?"
                )
            logger.warning("reward.http: %s: %s; trying again in %d s", self._host(), reason, 2**attempt)
            time.sleep(2**attempt)
        raise AssertionError

    def _host(self) -> str:
        """The address without user, password and query."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def _scores(self, answer: bytes, count: int) -> list[float]:
        """Raises: TunesmithError when the answer is not one finite number per completion."""
        try:
            scores = [float(value) for value in json.loads(answer)["scores"]]
        except (ValueError, KeyError, TypeError) as error:
            shown = answer[:80].decode(errors="replace")
            raise TunesmithError(
                f'reward.http: {self._host()} answered {shown!r}.\n  expected: {{"scores": [number, …]}}'
            ) from error
        if len(scores) != count or not all(map(math.isfinite, scores)):
            raise TunesmithError(
                f"reward.http: {self._host()} gave {len(scores)} scores for {count} completions, or some that are no "
                "finite number"
            )
        return scores
