"""Completions as OpenAI's API writes them: text, and the tokens it is of with where in the text they begin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise, takewhile
from typing import Any

from tunesmith.types import LogProb
from tunesmith_library_chat.detokenizing import Detokenizer

from .log_probs import Words, finite
from .service import Service

_HALF = "\ufffd"  # what stands for bytes that are no whole character
_UNSURE = 4  # characters that more tokens may change: what stands for the bytes of one


@dataclass(frozen=True)
class Echo:
    """A prompt that stands before its answers."""

    text: str
    log_probs: TokenTable | None = None


class Numbers:
    """Names of tokens that are their numbers, as vLLM's clients ask for them; else `Words` names them by their text."""

    def name_of(self, token: int) -> str:
        return f"token_id:{token}"


@dataclass
class TokenTable:
    """The `logprobs` of a choice: columns, a row for each token."""

    tokens: list[str] = field(default_factory=list)
    token_logprobs: list[float | None] = field(default_factory=list)
    top_logprobs: list[dict[str, float] | None] = field(default_factory=list)
    text_offset: list[int] = field(default_factory=list)  # in characters of the whole text

    def add(self, words: Words | Numbers, token: int, found: LogProb | None, offset: int) -> None:
        """
        Args:
            found: None for the first token of a prompt, to which nothing leads.
        """
        self.tokens.append(words.name_of(token))
        self.text_offset.append(offset)
        self.token_logprobs.append(None if found is None else finite(found.value))
        self.top_logprobs.append(None if found is None else _by_text(words, token, found))

    def made(self) -> dict[str, Any]:
        """As it is sent."""
        return {
            "tokens": self.tokens,
            "token_logprobs": self.token_logprobs,
            "top_logprobs": self.top_logprobs,
            "text_offset": self.text_offset,
        }


def _by_text(words: Words | Numbers, token: int, found: LogProb) -> dict[str, float]:
    """The likeliest tokens and the one that was taken, by their names; of two with one text the likelier."""
    told: dict[str, float] = {}
    for other, value in (*found.alternatives.items(), (token, found.value)):
        text = words.name_of(other)
        told[text] = max(told.get(text, -math.inf), finite(value))
    return told


class Offsets:
    """Where in a text its tokens begin, while they come."""

    def __init__(self, service: Service, start: int, before: Sequence[int] = (), skipped: frozenset[int] = frozenset()):
        """
        Args:
            start: where the text begins.
            before: the tokens that it goes on from.
            skipped: tokens that are left out of the text.
        """
        self._text = Detokenizer(service.decode, before)
        self._at, self._skipped = start, skipped
        self._held: list[tuple[int, str]] = []  # by token since `_at`: how long the text is with it, and its end

    def of(self, tokens: Sequence[int]) -> tuple[list[int], str]:
        """Where the next tokens begin, and the text that is certain by them.

        One that goes on with a character begins where the character does, and one that breaks it off begins behind
        what stands for it: so a token is placed when the text around it is certain, or the last of them is there.
        """
        offsets, shown, told = list[int](), "", len(self._held)
        for token in tokens:
            text = "" if token in self._skipped else self._text.push(token)
            by = text or self._text.held
            self._held.append((len(by), by[-_UNSURE:]))
            if text:
                offsets += self._starts(text)[told:]
                self._at, shown = self._at + len(text), shown + text
                self._held, told = [], 0
        return offsets + self._starts(self._text.held.rstrip(_HALF))[told:], shown

    def _starts(self, text: str) -> list[int]:
        """Where the tokens begin of which a text is: each where the text without it and the whole part."""
        starts = []
        for (length, end), (longer, _) in pairwise([(0, ""), *self._held]):
            sure = length - len(end)
            same = sure + _alike(end, text[sure:length])
            starts.append(self._at + max(0, min(same, longer - 1, len(text))))
        return starts

    def finish(self) -> str:
        """The text that was held back."""
        return self._text.finish()


def _alike(one: str, other: str) -> int:
    """How many characters two texts begin with both."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def echo_of(
    service: Service,
    prompt: Sequence[int],
    text: str | None,
    log_probs: Sequence[LogProb] | None,
    words: Words | Numbers,
) -> Echo:
    """A prompt as it stands before its answers; takes time for long ones.

    Args:
        text: as it was sent; None where tokens were.
        log_probs: of its tokens but the first.
        words: what its tokens are called.
    """
    offsets, table = Offsets(service, 0), TokenTable()
    starts, shown = offsets.of(prompt)
    if log_probs is not None:
        for token, logged, start in zip(prompt, (None, *log_probs), starts, strict=True):
            table.add(words, token, logged, start)
    shown += offsets.finish()
    return Echo(shown if text is None else text, None if log_probs is None else table)
