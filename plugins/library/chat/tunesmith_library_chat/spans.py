"""Where the assistant speaks in a rendered conversation: by the template's marks, or else by comparing renderings.

Most published templates carry no marks. What a model is asked with is then a prefix of what it is trained on, so the
length of that prefix is where an answer starts. Templates that rewrite earlier turns (Qwen3 drops their thoughts)
need a second way: replace one message by a sentinel, and see what changes.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tunesmith.errors import DataError
from tunesmith.messages import logger
from tunesmith.types import Message

# Unicode noncharacters: hardly ever part of text, so they can mark places in a rendering.
_NONCHARACTERS = tuple(map(chr, range(0xFDD0, 0xFDF0)))

Fill = Callable[[Sequence[Message], bool], str | None]
"""Renders (messages, add_generation_prompt); None when the template refuses them."""


@dataclass(frozen=True)
class Span:
    """What the assistant says in one message, as a range of characters of the rendered text."""

    start: int
    end: int
    message: int  # index in the conversation


@dataclass
class Marks:
    """The delimiters that `{% generation %}` writes during one rendering."""

    open: str = _NONCHARACTERS[0]
    close: str = _NONCHARACTERS[1]
    written: int = 0  # pairs

    def wrap(self, text: str) -> str:
        self.written += 1
        return f"{self.open}{text}{self.close}"

    def forged_in(self, marked: str) -> bool:
        """Whether the conversation itself contains a delimiter, so that the marks cannot be told from it."""
        return marked.count(self.open) != self.written or marked.count(self.close) != self.written

    def absent_from(self, marked: str) -> Marks:
        """Delimiters that a rendering does not contain."""
        pairs = ((f"{self.open}{number}.", f"{self.close}{number}.") for number in itertools.count())
        return next(Marks(start, end) for start, end in pairs if start not in marked and end not in marked)

    def read(self, marked: str) -> tuple[str, list[tuple[int, int]]]:
        """The text without marks, and the ranges of it that stood between them."""
        pieces = re.split(f"{re.escape(self.open)}|{re.escape(self.close)}", marked)
        ends = list(itertools.accumulate(map(len, pieces)))
        return "".join(pieces), list(zip(ends[0:-1:2], ends[1::2], strict=True))


def assign(ranges: Sequence[tuple[int, int]], messages: Sequence[Message], search: Search) -> tuple[Span, ...]:
    """Say which message each marked range belongs to.

    Raises: DataError when a range belongs to no assistant message.
    """
    owners: list[int | None] = [*assistants(messages)]
    if len(ranges) != len(owners):
        located = search.spans()
        owners = [next((s.message for s in located if s.start < end and start < s.end), None) for start, end in ranges]
    spans = []
    for (start, end), owner in zip(ranges, owners, strict=True):
        if owner is None:
            raise DataError("the chat template puts its generation marks around text of no assistant message")
        if start < end:
            spans.append(Span(start, search.trim(start, end), owner))
    return tuple(spans)


def assistants(messages: Sequence[Message]) -> list[int]:
    return [index for index, message in enumerate(messages) if message["role"] == "assistant"]


@dataclass
class Search:
    """Finds the assistant's words in a rendering without marks."""

    name: str  # of the template, for warnings
    text: str  # the whole conversation, rendered without generation prompt
    messages: Sequence[Message]
    fill: Fill
    stop: tuple[str, ...]

    def spans(self) -> tuple[Span, ...]:
        found = [self.span(index) for index in assistants(self.messages)]
        if None in found:
            _warn_untrained(self.name)
        return tuple(span for span in found if span is not None)

    def span(self, index: int) -> Span | None:
        """The span of one assistant message, or None when it cannot be told from what surrounds it."""
        start, end = self._start(index), self._end(index)
        if start is None or end is None:
            _note_rewriting(self.name)
            changed = self._difference(index)
            if changed is None:
                return None
            start = changed.start if start is None else start
            end = changed.end if end is None else end
        return Span(start, self.trim(start, end), index) if start < end else None

    def _start(self, index: int) -> int | None:
        asked = self.fill(self.messages[:index], True)
        return len(asked) if asked is not None and self.text.startswith(asked) else None

    def _end(self, index: int) -> int | None:
        if index == len(self.messages) - 1:
            return len(self.text)
        told = self.fill(self.messages[: index + 1], False)
        return len(told) if told is not None and self.text.startswith(told) else None

    def _difference(self, index: int) -> Span | None:
        """The range that changes when the message says something else, and the stop string behind it."""
        sentinel = next((character for character in _NONCHARACTERS if character not in self.text), None)
        if sentinel is None:
            return None
        messages = [*self.messages]
        messages[index] = {"role": "assistant", "content": sentinel}
        other = self.fill(messages, False)
        if other is None or sentinel not in other:
            return None
        start = _shared(self.text, other)
        end = len(self.text) - _shared(self.text[start:][::-1], other[start:][::-1])
        rest = self.text[end:].lstrip()
        stop = next((stop for stop in self.stop if rest.startswith(stop)), None)
        return Span(start, end if stop is None else len(self.text) - len(rest) + len(stop), index)

    def trim(self, start: int, end: int) -> int:
        """Leave out the white space behind the string that ends the turn: the model stops before it."""
        said = self.text[start:end].rstrip()
        return start + len(said) if said.endswith(self.stop) else end


def _shared(first: str, second: str) -> int:
    """How many characters two strings begin with in common."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(first), len(second)))


def cut_after(span: Span, text: str, content: str) -> str:
    """The text up to the end of the last message's content, for the model to continue."""
    said = text[span.start : span.end]
    for wanted in (content, content.strip()):
        if wanted in said:
            return text[: span.start + said.rindex(wanted) + len(wanted)]
    raise DataError("the chat template rewrites the last message, so the model cannot continue it")


def clip(spans: Sequence[Span], limit: int) -> tuple[Span, ...]:
    """The spans of a text that was cut at `limit` characters."""
    return tuple(replace(span, end=min(span.end, limit)) for span in spans if span.start < limit)


@functools.cache
def _warn_untrained(name: str) -> None:
    logger.warning(
        "template %s: some of the assistant's turns cannot be told from the text around them and are not trained; "
        "choose a template with generation marks, such as template=qwen3 or template=chatml",
        name,
    )


@functools.cache
def _note_rewriting(name: str) -> None:
    logger.info(
        "template %s rewrites earlier turns, or refuses the beginning of a conversation; "
        "what the assistant says is trained as it stands in the whole conversation",
        name,
    )
