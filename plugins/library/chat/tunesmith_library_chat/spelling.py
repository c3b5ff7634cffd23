"""Special tokens that a conversation spells out: they stay text, so that nobody forges a turn by writing its marks.

A template writes control tokens and the conversation's text into one string, in which both look alike. So before it is
rendered, a mark is put inside whatever the conversation spells of a control token; afterwards the marks are taken out,
and where they stood is text. Templates can go on looking at, cutting and trimming what they write.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Ranges = tuple[tuple[int, int], ...]
"""Characters of a text, ends exclusive, in ascending order."""

Tokens = tuple[str, ...]
"""Strings that are control tokens."""


def spells(value: Any, tokens: Tokens) -> bool:
    """Whether a text anywhere in a value, keys included, holds a control token, or ends with the beginning of one."""
    return bool(tokens) and any(_spells(text, tokens) for text in _texts(value))


def spelt(text: str, tokens: Tokens) -> Ranges:
    """Where a text holds control tokens."""
    if not tokens or not any(first in text for first in _firsts(tokens)):
        return ()
    return tuple(match.span() for match in _anywhere(tokens).finditer(text))


def first_spelt(value: Any, tokens: Tokens) -> str | None:
    """A control token that a text anywhere in a value holds."""
    found = (text[start:end] for text in _texts(value) for start, end in spelt(text, tokens)[:1])
    return next(found, None) if tokens else None


def free_mark(value: Any) -> str:
    """A string that stands in no text of a value, and in none as JSON escapes it."""
    texts = list(_texts(value))
    marks = (f"\ufdef{number}." if number else "\ufdef" for number in itertools.count())
    return next(mark for mark in marks if not any(form in text for text in texts for form in _forms(mark)))


def marked(value: Any, mark: str, tokens: Tokens) -> Any:
    """A copy of a value in whose texts a mark stands behind the first character of each control token."""
    if isinstance(value, str):
        return _marked_text(value, mark, tokens) if _spells(value, tokens) else value
    if isinstance(value, Mapping):
        return {marked(key, mark, tokens): marked(item, mark, tokens) for key, item in value.items()}
    return [marked(item, mark, tokens) for item in value] if isinstance(value, list | tuple) else value


class Unmarked:
    """A rendering without its marks.

    Args:
        text: with them.
    """

    def __init__(self, text: str, mark: str, tokens: Tokens) -> None:
        found = list(re.finditer("|".join(map(re.escape, _forms(mark))), text))
        self._starts = [match.start() for match in found]
        self._removed = [0, *itertools.accumulate(len(match[0]) for match in found)]
        bounds = itertools.pairwise([0, *(place for match in found for place in match.span()), len(text)])
        self.text = "".join(text[start:end] for start, end in itertools.islice(bounds, 0, None, 2))
        # the mark stands behind the first character of what was spelt
        matches = (_anywhere(tokens).match(self.text, self.place(start) - 1) for start in self._starts)
        self.literal: Ranges = tuple(dict.fromkeys(match.span() for match in matches if match))

    def place(self, marked: int) -> int:
        """Where a character of the text with marks is in the one without."""
        before = bisect.bisect_left(self._starts, marked)
        return marked - self._removed[before]


def find_tokens(text: str, tokens: Tokens, literal: Ranges) -> Iterator[re.Match[str]]:
    """The control tokens of a text that were not spelt by the conversation."""
    spelt = list(literal)
    for match in _anywhere(tokens).finditer(text):
        index = bisect.bisect_right(spelt, (match.start(), len(text)))
        if not index or spelt[index - 1][1] <= match.start():
            yield match


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(key)
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _spells(text: str, tokens: Tokens) -> bool:
    """See `spells`; a text without the first character of any token is done with at once."""
    if not any(first in text for first in _firsts(tokens)):
        return False
    return _anywhere(tokens).search(text) is not None or bool(_cut_off(text, tokens))


def _marked_text(text: str, mark: str, tokens: Tokens) -> str:
    starts = {match.start() for match in re.finditer(f"(?={_anywhere(tokens).pattern})", text)}
    places = [0, *(start + 1 for start in sorted(starts.union(_cut_off(text, tokens)))), len(text)]
    return mark.join(text[start:end] for start, end in itertools.pairwise(places))


def _cut_off(text: str, tokens: Tokens) -> list[int]:
    """Where a text has the beginning of a token at its end, which the next part of a content may complete."""
    said = text.rstrip()
    lengths = range(1, min(len(said), max(map(len, tokens)) - 1) + 1)
    return [len(said) - length for length in lengths if said[-length:] in _beginnings(tokens)]


def _forms(mark: str) -> Sequence[str]:
    return (mark, json.dumps(mark)[1:-1])


@functools.lru_cache(maxsize=16)
def _anywhere(tokens: Tokens) -> re.Pattern[str]:
    return re.compile("(?:" + "|".join(map(re.escape, sorted(tokens, key=len, reverse=True))) + ")")


@functools.lru_cache(maxsize=16)
def _beginnings(tokens: Tokens) -> frozenset[str]:
    return frozenset(token[:length] for token in tokens for length in range(1, len(token)))


@functools.lru_cache(maxsize=16)
def _firsts(tokens: Tokens) -> tuple[str, ...]:
    return tuple({token[0] for token in tokens})
