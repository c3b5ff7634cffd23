"""One answer while it is generated: tokens in, deltas out, until it is done."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tunesmith.types import Delta

from .text import Detokenizer, StopFinder


@dataclass(frozen=True)
class Ending:
    """What ends an answer, and how its tokens are read."""

    tokens: Collection[int]  # ids that end an answer and are no part of it
    strings: Sequence[str]  # the same as text, for ends of several tokens
    skipped: Collection[int]  # ids that are left out of the text
    decode: Callable[[Sequence[int]], str]


@dataclass
class Answer:
    """The state of one answer of a batch."""

    index: int  # of its conversation
    limit: int  # tokens it may have
    ending: Ending
    done: bool = False
    _waiting: int = 0  # tokens since the last delta
    _count: int = 0
    _text: Detokenizer = field(init=False)
    _stop: StopFinder = field(init=False)

    def __post_init__(self) -> None:
        self._text, self._stop = Detokenizer(self.ending.decode), StopFinder(self.ending.strings)

    def push(self, token: int) -> Delta | None:
        """Take the next token; give the text that is certain by it, and the last delta when it ends the answer."""
        self._count += 1
        self._waiting += 1
        if token in self.ending.tokens:
            return self.finish("stop")
        text, stopped = "", False
        if token not in self.ending.skipped:
            text, stopped = self._stop.push(self._text.push(token))
        if stopped:
            self.done = True
            return self._delta(text, "stop")
        if self._count >= self.limit:
            return self.finish("length", text)
        return self._delta(text) if text else None

    def finish(self, reason: Literal["stop", "length"], text: str = "") -> Delta:
        """The last delta: everything that was held back."""
        self.done = True
        more, stopped = self._stop.push(self._text.finish())
        return self._delta(text + more + ("" if stopped else self._stop.finish()), "stop" if stopped else reason)

    def _delta(self, text: str, reason: Literal["stop", "length"] | None = None) -> Delta:
        count, self._waiting = self._waiting, 0
        return Delta(self.index, text, count, reason)
