"""Clients that use a server as many at once do: some as they should, others that hang up, dawdle, or send nonsense."""

from __future__ import annotations

import asyncio
import json
import math
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from malformed_requests import Malformed
from tunesmith_library_testing.wire import Broken, ask, request, sent

ANSWERED = (200, 429, 503)
"""How a good request may be answered: 429 and 503 ask for patience."""
_CLEAR = 1e-3  # how much likelier than the next a greedy token is, in natural logarithms
_PATIENCE = 120.0  # seconds


@dataclass
class Tally:
    """What came of all requests."""

    answered: Counter[str] = field(default_factory=Counter)  # by kind of client and status
    wrong: list[str] = field(default_factory=list)

    def add(self, kind: str, outcome: object, problem: str | None = None) -> None:
        self.answered[f"{kind}: {outcome}"] += 1
        if problem:
            self.wrong.append(f"{kind}: {problem}")


@dataclass(frozen=True)
class Question:
    """A greedy request and its answer when nobody else asks."""

    path: str
    body: dict[str, Any]
    answer: str


def text_of(path: str, reply: Any) -> str:
    """The answer in a whole body."""
    choice = reply["choices"][0]
    return choice["text"] if path == "/v1/completions" else choice["message"]["content"] or ""


async def questions(port: int, count: int, max_tokens: int, model: str) -> list[Question]:
    """Greedy requests whose tokens are all clearly the likeliest, and their answers, asked for one after another."""
    found: list[Question] = []
    for number in range(count * 4):
        words = f"{number} " + "Whales sing, the tide turns. " * (number % 7)
        greedy = {"model": model, "temperature": 0, "max_tokens": 1 + number * 5 % max_tokens}
        if number % 2:
            path, asked, more = "/v1/completions", {"prompt": words}, {"logprobs": 2}
        else:
            path, asked = "/v1/chat/completions", {"messages": [{"role": "user", "content": words}]}
            more = {"logprobs": True, "top_logprobs": 2}
        body = {**greedy, **asked}
        reply = await ask(port, path, {**body, **more}, patience=_PATIENCE)
        assert reply.status == 200, reply.body
        if all(gap > _CLEAR for gap in _gaps(reply.json()["choices"][0]["logprobs"])):
            plain = await ask(port, path, body, patience=_PATIENCE)
            found.append(Question(path, body, text_of(path, plain.json())))
        if len(found) == count:
            return found
    raise AssertionError(f"only {len(found)} of {count * 4} prompts have a clear answer")


def _gaps(log_probs: dict[str, Any]) -> Iterator[float]:
    if "content" in log_probs:
        lists = [[each["logprob"] for each in token["top_logprobs"]] for token in log_probs["content"]]
    else:
        lists = [list(token.values()) for token in log_probs["top_logprobs"]]
    for values in lists:
        best = sorted(values, reverse=True)
        yield best[0] - best[1] if len(best) > 1 else math.inf


class Clients:
    """As many at once as are told, until the time is over."""

    def __init__(self, port: int, known: list[Question], nonsense: Iterator[Malformed], model: str, seed: int) -> None:
        self.port, self.known, self.nonsense, self.model = port, known, nonsense, model
        self.tally = Tally()
        self._draw = random.Random(seed)

    async def run(self, count: int, seconds: float) -> None:
        end = time.monotonic() + seconds
        await asyncio.gather(*(self._client(end) for _ in range(count)))

    async def _client(self, end: float) -> None:
        kinds: list[Callable[[], Awaitable[None]]] = [
            *(self._whole, self._whole, self._streamed, self._streamed, self._slow, self.malformed, self.malformed),
            *(self.malformed, self._before, self._during, self._after, self._stuck, self._oversized, self._idle),
        ]
        while time.monotonic() < end:
            kind = self._draw.choice(kinds)
            try:
                await kind()
            except (Broken, TimeoutError, ConnectionError, ValueError, KeyError) as error:
                self.tally.add(kind.__name__, type(error).__name__, f"{type(error).__name__}: {error}")

    async def _whole(self) -> None:
        """Ask, and compare."""
        question = self._draw.choice(self.known)
        reply = await ask(self.port, question.path, question.body, patience=_PATIENCE)
        problem = None if reply.status in ANSWERED else f"{reply.status} {reply.body[:300]!r}"
        if reply.status == 200 and text_of(question.path, reply.json()) != question.answer:
            problem = f"{question.body}: {text_of(question.path, reply.json())!r}, not {question.answer!r}"
        self.tally.add("whole", reply.status, problem)
        if reply.status != 200:
            await asyncio.sleep(min(float(reply.headers.get("retry-after", 1)), 2))

    async def _streamed(self, pause: float = 0.0) -> None:
        """The same as a stream, read with pauses."""
        question = self._draw.choice(self.known)
        data = request(question.path, {**question.body, "stream": True})
        parts, last = [], ""
        async with sent(self.port, data, patience=_PATIENCE) as response:
            if response.status != 200:
                told = None if response.status in ANSWERED else f"{response.status} {(await response.body())[:300]!r}"
                self.tally.add("streamed", response.status, told)
                await asyncio.sleep(0.5)
                return
            async with asyncio.timeout(_PATIENCE):
                async for last in response.events():
                    parts += [] if last == "[DONE]" else [delta(json.loads(last))]
                    await asyncio.sleep(pause)
        problem = None
        if last != "[DONE]" or "".join(parts) != question.answer:
            problem = f"{question.body}: {''.join(parts)!r} and {last!r}, not {question.answer!r}"
        self.tally.add("streamed slowly" if pause else "streamed", 200, problem)

    async def _slow(self) -> None:
        await self._streamed(pause=0.05)

    async def malformed(self) -> None:
        """Nonsense is refused, or read as what it may mean, and nothing breaks by it."""
        sending = next(self.nonsense)
        patience = _PATIENCE if sending.whole else 2.0
        try:
            async with sent(self.port, sending.data, patience=patience) as response:
                async with asyncio.timeout(patience):
                    body = await response.body()
                bad = response.status >= 500 and response.status not in (501, 503)
                self.tally.add("malformed", response.status, f"{response.status} {sending} {body!r}" if bad else None)
        except (Broken, TimeoutError, ConnectionError) as error:
            outcome = type(error).__name__
            self.tally.add("malformed", outcome, f"{outcome} {sending}"[:2000] if sending.whole else None)

    def _long(self) -> bytes:
        talk = [{"role": "user", "content": f"{self._draw.random()}"}]
        body = {"model": self.model, "messages": talk, "max_tokens": 200, "stream": True}
        return request("/v1/chat/completions", body)

    async def _before(self) -> None:
        """Hang up before there is an answer."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(self._long())
        await writer.drain()
        await asyncio.sleep(self._draw.choice((0.0, 0.005, 0.05)))
        writer.transport.abort()
        self.tally.add("hung up before", "")

    async def _during(self) -> None:
        """Hang up in the middle of the answer."""
        wanted = self._draw.randrange(1, 12)
        async with sent(self.port, self._long(), patience=_PATIENCE) as response:
            async for _ in response.events():
                wanted -= 1
                if not wanted:
                    break
        self.tally.add("hung up during", response.status)

    async def _after(self) -> None:
        """Hang up at the last event, before the connection is told to close."""
        question = self._draw.choice(self.known)
        async with sent(
            self.port, request(question.path, {**question.body, "stream": True}), patience=_PATIENCE
        ) as response:
            async for event in response.events():
                if event == "[DONE]":
                    break
        self.tally.add("hung up after", response.status)

    async def _stuck(self) -> None:
        """Ask for a long answer and never read it."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1)
        writer.write(self._long())
        await asyncio.sleep(self._draw.uniform(0.5, 3))
        writer.transport.abort()
        self.tally.add("never read", "")

    async def _idle(self) -> None:
        """Open a connection, say half a line, and leave."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"POST /v1/chat/comp"[: self._draw.randrange(18)])
        await asyncio.sleep(self._draw.uniform(0, 2))
        writer.transport.abort()
        self.tally.add("said nothing", "")

    async def _oversized(self) -> None:
        """Send, or promise, more than a server should take."""
        kind = self._draw.choice(("promised", "text", "media"))
        body = _talk(self.model, kind)
        head = {"content-length": str(1 << 40)} if kind == "promised" else {}
        outcome: object = "hung up"
        # one that closes before it has read all resets the connection, and its answer may be lost by that
        with suppress(Broken, ConnectionError):
            reply = await ask(self.port, "/v1/chat/completions", body, headers=head, patience=_PATIENCE)
            outcome = reply.status
        told = None if outcome in ("hung up", 400, 408, 413, 429, 503) else f"{kind}: {outcome}"
        self.tally.add("oversized", outcome, told)


@cache
def _talk(model: str, kind: str) -> bytes:
    """A message whose text or image is long."""
    url = "data:image/png;base64," + "A" * 8_000_000
    content = [{"type": "image_url", "image_url": {"url": url}}] if kind == "media" else "x" * 200_000
    return json.dumps({"model": model, "messages": [{"role": "user", "content": content}], "max_tokens": 1}).encode()


def delta(chunk: dict[str, Any]) -> str:
    """The new text in an event of either kind of completion.

    Raises: KeyError for an event that is an error.
    """
    return "".join(
        choice["text"] if "text" in choice else choice["delta"].get("content") or "" for choice in chunk["choices"]
    )
