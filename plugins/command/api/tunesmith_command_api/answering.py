"""Answers that are read in the event loop while they are given: deltas of an engine become pieces of text."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from tunesmith.errors import TunesmithError
from tunesmith.types import Answer, Delta, FinishReason, LogProb, Piece, Request, ToolCall
from tunesmith_library_chat.reading import Reader, Reading

from .errors import ApiError
from .mailbox import Mailbox

Watcher = Callable[["Answers", Piece], None]
"""Is told of each piece of all answers, in the event loop."""

_BEFORE = 8  # tokens of a prompt that are decoded with the first of its answer, which may be a part of a word


class Answers:
    """The answers to one request of a client, as pieces in the order in which they come; iterate once.

    Those of different answers alternate; the place of an answer is the `index` of its pieces.
    """

    def __init__(
        self,
        requests: Sequence[Request],
        answers: Sequence[Answer],
        reading: Reading,
        mailbox: Mailbox,
        watchers: Sequence[Watcher] = (),
        seconds: float | None = None,
        *,
        goes_on: bool = False,
        single_call: bool = False,
    ) -> None:
        """
        Args:
            seconds: after which all answers end where they are, see `cut`.
            goes_on: whether an answer goes on within the text of its prompt.
            single_call: an answer ends with its first call of a tool.
        """
        self.requests = tuple(requests)
        self._answers, self._watchers = answers, watchers
        ends = [request.prompt[-_BEFORE:] if goes_on else () for request in requests]
        self._readers = {index: Reader(index, reading, ends[index]) for index in range(len(answers))}
        self._news: deque[tuple[int, Delta | BaseException]] = deque()
        self._told = asyncio.Event()
        self._cut, self._seconds, self._single_call = False, seconds, single_call
        self.stopped_by: dict[int, str] = {}  # the stop strings that ended answers, by their index
        for index, answer in enumerate(answers):
            answer.listen(partial(mailbox.put, partial(self._hear, index)))

    def _hear(self, index: int, item: Delta | BaseException) -> None:
        self._news.append((index, item))
        self._told.set()

    @property
    def prompt_tokens(self) -> int:
        """Tokens of all different prompts: several answers to one count it once."""
        return sum(len(prompt) for prompt in {id(each.prompt): each.prompt for each in self.requests}.values())

    @property
    def cached_tokens(self) -> int:
        """Tokens of these that the engine had computed before, where it tells."""
        found: dict[int, int] = {}
        for request, answer in zip(self.requests, self._answers, strict=True):
            found[id(request.prompt)] = max(found.get(id(request.prompt), 0), getattr(answer, "cached_tokens", 0))
        return sum(found.values())

    async def __aiter__(self) -> AsyncIterator[Piece]:
        """The pieces, each waited for; whatever is left when the iteration ends is cancelled.

        Raises: what went wrong in the engine; ApiError when the answer was cancelled there.
        """
        late = asyncio.get_running_loop().call_later(self._seconds, self.cut) if self._seconds else None
        try:
            while self._readers:
                while not self._news:
                    self._told.clear()
                    await self._told.wait()
                index, item = self._news.popleft()
                if isinstance(item, TunesmithError):
                    raise ApiError(500, str(item)) from item  # what it was asked was right, or it had been refused
                if isinstance(item, BaseException):
                    raise item
                if (piece := self._read(index, item)) is not None:
                    for watcher in self._watchers:
                        watcher(self, piece)
                    yield piece
        finally:
            if late is not None:
                late.cancel()
            self.cancel()

    def _read(self, index: int, delta: Delta) -> Piece | None:
        reader = self._readers.get(index)
        piece = reader.push(delta) if reader is not None else None
        if piece is not None and piece.calls and self._single_call:
            piece = replace(piece, calls=piece.calls[:1], finish_reason="stop")
        if reader is None or piece is None or piece.finish_reason is None:
            return piece
        del self._readers[index]
        self._answers[index].cancel()  # one that a stop string ended
        if reader.stopped_by is not None:
            self.stopped_by[index] = reader.stopped_by
        if piece.finish_reason != "cancelled":
            return piece
        if not self._cut:
            raise ApiError(503, "the server ended this answer: it stops, or the model was taken away")
        return replace(piece, finish_reason="length")

    def cut(self) -> None:
        """End all answers where they are, as if they had reached their limit."""
        self._cut = True
        for answer in self._answers:
            answer.cancel()

    def cancel(self) -> None:
        """End all answers; nobody wants them any more."""
        for index in self._readers:
            self._answers[index].cancel()


@dataclass
class Whole:
    """One answer from its beginning to its end."""

    text: str = ""
    thought: str = ""
    calls: dict[int, ToolCall] = field(default_factory=dict)  # by index, each with all its arguments
    token_ids: list[int] = field(default_factory=list)
    log_probs: list[LogProb] = field(default_factory=list)
    thought_tokens: int = 0
    finish_reason: FinishReason | None = None
    stopped_by: str | None = None  # as in `Answers`

    def add(self, piece: Piece) -> None:
        """Take the next piece."""
        self.text += piece.text
        self.thought += piece.thought
        for call in piece.calls:
            before = self.calls.get(call.index, ToolCall(call.index))
            self.calls[call.index] = ToolCall(
                call.index, before.name + call.name, before.arguments + call.arguments, before.id or call.id
            )
        self.token_ids += piece.token_ids
        self.log_probs += piece.log_probs
        self.thought_tokens += piece.num_tokens if piece.thought and not piece.text else 0
        self.finish_reason = piece.finish_reason


async def gathered(answers: Any) -> list[Whole]:
    """All answers to a request, whole."""
    wholes = [Whole() for _ in answers.requests]
    async for piece in answers:
        wholes[piece.index].add(piece)
        wholes[piece.index].stopped_by = answers.stopped_by.get(piece.index)
    return wholes
