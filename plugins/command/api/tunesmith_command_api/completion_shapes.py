"""Completions as OpenAI's API writes them: text, and the tokens it is of with where in the text they begin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tunesmith.types import LogProb
from tunesmith_library_chat.detokenizing import Detokenizer

from .log_probs import Words, finite
from .service import Service


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

    def of(self, token: int) -> tuple[int, str]:
        """Where a token begins, and the text that is certain by it."""
        at, text = self._at, "" if token in self._skipped else self._text.push(token)
        self._at += len(text)
        return at, text

    def finish(self) -> str:
        """The text that was held back."""
        return self._text.finish()


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
    offsets, table, shown = Offsets(service, 0), TokenTable(), ""
    found = (None, *(log_probs or ()))
    for place, token in enumerate(prompt):
        at, more = offsets.of(token)
        shown += more
        if log_probs is not None:
            table.add(words, token, found[place], at)
    shown += offsets.finish()
    return Echo(shown if text is None else text, None if log_probs is None else table)
